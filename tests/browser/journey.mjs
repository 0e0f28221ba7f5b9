// What every journey stands on: a browser, the people who use it, and talk with the program that runs the journey.
//
// The program (tests/src/bin/browser.rs) does everything that is not done in a browser. A journey says what it wants
// as a line of JSON on standard output and reads the answer as a line from standard input; rows and what was reached
// are lines of JSON too.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';

import { Look } from './look.mjs';

const { chromium } = createRequire(path.join(process.env.MODULES, 'x.js'))('playwright-core');

/** Nothing of its own accord: a request that the pages did not ask for would be a request to another host. */
const ARGUMENTS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
];
const PATIENCE_MS = 15_000;
const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 800 };

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(line) {
    process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Has something done outside of the browser; what it needs are the other members. */
async function outside(act, needs = {}) {
    say({ ask: { act, ...needs } });
    const { value, done } = await answers.next();
    if (done) process.exit(1);
    const { answer, failure } = JSON.parse(value);
    if (failure) throw new Error(failure);
    return answer;
}

/** One row of the table: it passes if nothing is thrown. What follows needs it: a failure ends the journey. */
async function row(name, work) {
    if (!(await tried(name, work))) throw new Ended();
}

/** One row that others do not build on. */
async function tried(name, work) {
    const start = performance.now();
    let failure = null;
    try {
        await work();
    } catch (error) {
        if (error instanceof Ended) throw error;
        failure = error.message;
    }
    say({ row: { name, seconds: (performance.now() - start) / 1000, failure } });
    return failure === null;
}

/** The row that failed has said why. */
class Ended extends Error {}

/** Fails with a sentence. */
export function expect(is, sentence) {
    if (!is) throw new Error(sentence);
}

/** Somebody in front of a browser, with a console of her own or with an address of the gateway. */
class Person {
    /** What the browser complained about. */
    complaints = [];
    /** The last answer that each tab shows. */
    documents = new Map();

    constructor(page, link, look) {
        const { origin, pathname } = new URL(link);
        const [at, session] = pathname.split('/enter/');
        // The gateway has no session, and its pages lie at its root.
        this.isAtConsole = session !== undefined;
        Object.assign(this, { page, look, origin, at: this.isAtConsole ? at : '' });
        page.context().on('response', (response) => this.see(response));
        this.mind(page);
    }

    /** Minds what a tab of hers does. */
    mind(page) {
        page.on('console', (message) => this.hear(message));
        page.on('pageerror', (error) => this.complaints.push(`an error on ${page.url()}: ${error.message}`));
        page.on('request', (request) => {
            if (new URL(request.url()).origin !== this.origin) this.complaints.push(`asked ${request.url()}`);
        });
        page.on('requestfailed', (request) => {
            const words = request.failure()?.errorText;
            // The browser itself gives up what a page needed that was left meanwhile, and a page that is a download; and a
            // page that may not be kept is not there any more when she goes back.
            if (!['net::ERR_ABORTED', 'net::ERR_CACHE_MISS'].includes(words)) this.complaints.push(`${request.url()}: ${words}`);
        });
    }

    /** What the tab shows that she is looking at. */
    get document() {
        return this.documents.get(this.page);
    }

    hear(message) {
        const isOfPage = message.location().url === this.page.url() && this.document?.status() >= 400;
        // Chromium says so of every page that is not 200; the journey asserts which ones are not.
        if (isOfPage && message.text().startsWith('Failed to load resource')) return;
        if (['error', 'warning'].includes(message.type())) this.complaints.push(`console: ${message.text()} ${message.location().url}`);
    }

    see(response) {
        const request = response.request();
        const address = new URL(response.url()).pathname;
        if (!address.startsWith(`${this.at}/`)) return;
        const isPage = (response.headers()['content-type'] ?? '').startsWith('text/html');
        const path = this.below(response.url());
        const reached = { method: request.method(), path, isPage: isPage && response.status() === 200 };
        if (this.isAtConsole) say({ reached });
        if (!isPage || !request.isNavigationRequest()) return;
        this.latest = response;
        const tab = this.page.context().pages().find((page) => page.mainFrame() === frameOf(request));
        if (tab) this.documents.set(tab, response);
    }

    /** A path as the router has it. */
    below(url) {
        return new URL(url).pathname.slice(this.at.length + 1);
    }

    async goes(where) {
        await this.page.goto(`${this.origin}${this.at}/${where}`);
    }

    async follows(words) {
        await this.page.getByRole('link', { name: words }).first().click();
    }

    /** `within` is the title of the group of fields that is meant. */
    async fills(label, text, { within } = {}) {
        const where = within ? this.page.getByRole('group', { name: within }) : this.page;
        await where.getByLabel(label).first().fill(text);
    }

    async chooses(label, option) {
        await this.page.getByLabel(label).first().selectOption(option);
    }

    async ticks(label) {
        await this.page.getByLabel(label).first().check();
    }

    async presses(name) {
        await this.page.getByRole('button', { name }).first().click();
    }

    /** Presses what opens a tab, and does something in it. */
    async inANewTab(name, act) {
        const first = this.page;
        const [tab] = await Promise.all([first.context().waitForEvent('page'), this.presses(name)]);
        await tab.waitForLoadState();
        this.mind(tab);
        this.documents.set(tab, this.latest);
        this.page = tab;
        await act();
        await tab.close();
        this.page = first;
    }

    /** Presses what hands out a file; answers its text. */
    async downloads(name, suffix) {
        const [download] = await Promise.all([this.page.waitForEvent('download'), this.presses(name)]);
        expect(download.suggestedFilename().endsWith(suffix), `the file is called ${download.suggestedFilename()}`);
        return fs.readFileSync(await download.path(), 'utf8');
    }

    async sees(...words) {
        const text = await this.page.locator('main').innerText();
        for (const one of words) expect(text.includes(one), `the page does not say ${JSON.stringify(one)}:\n${text}`);
    }

    /** What stands beside a name in a list of facts. */
    async fact(name) {
        return this.page.locator(`dt:text-is("${name}") + dd`).innerText();
    }

    /** Sees it without scrolling sideways. */
    async isInSight(words) {
        const { x, width } = await this.page.getByText(words).first().boundingBox();
        const room = await this.page.locator('.wide').first().boundingBox();
        expect(x >= room.x && x + width <= room.x + room.width, `${words} is outside of the table's window`);
    }

    async seesNothingOf(words) {
        const text = await this.page.locator('main').innerText();
        expect(!text.includes(words), `the page says ${JSON.stringify(words)}:\n${text}`);
    }

    /** Looks at the page as it is, as everybody may see it. Others do not build on it. */
    async looks(name, more = {}) {
        const document = this.document;
        const looked = { method: document.request().method(), path: this.below(document.url()) };
        if (this.isAtConsole) say({ looked });
        await tried(`page: ${name}`, async () => {
            await this.look.at(document, await this.page.context().cookies(), name, more);
            const complaints = this.complaints.splice(0);
            expect(complaints.length === 0, complaints.join('\n'));
        });
    }
}

/** The frame that asks; none if it belongs to a tab that is only about to open. */
function frameOf(request) {
    try {
        return request.frame();
    } catch {
        return null;
    }
}

/** Runs a journey and ends. */
export async function journey(walk) {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGUMENTS });
    const look = new Look(browser, { PHONE, DESK });
    const settle = async (options) => {
        const context = await browser.newContext({ viewport: DESK, ...options });
        context.setDefaultTimeout(PATIENCE_MS);
        return context;
    };
    const people = [];
    /** A browser without scripts that comes by a link. */
    const arrives = async (link) => {
        // The gateway's certificate is by the throwaway PKI, which no browser knows.
        const context = await settle({ javaScriptEnabled: false, ignoreHTTPSErrors: true });
        const somebody = new Person(await context.newPage(), link, look);
        people.push(somebody);
        await somebody.page.goto(link);
        return Object.assign(somebody, { link });
    };
    /** One that is the first to come, to a console of her own. */
    const opens = async (person) => {
        const { link } = await outside('console', { person });
        const somebody = await arrives(link);
        await somebody.page.waitForURL(`${somebody.origin}${somebody.at}/`);
        return somebody;
    };
    try {
        await walk({
            outside,
            row,
            tried,
            settle,
            arrives,
            opens,
        });
        await tried('no complaint of the browser, no request to another host', async () => {
            const complaints = people.flatMap((one) => one.complaints);
            expect(complaints.length === 0, complaints.join('\n'));
        });
    } catch (error) {
        if (!(error instanceof Ended)) say({ row: { name: 'the journey', seconds: 0, failure: error.message } });
    }
    await browser.close();
    process.exit(0);
}
