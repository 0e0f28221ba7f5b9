// Looking at a page as everybody may see it: on a phone and at a desk, in the light and in the dark, with the keyboard,
// and as axe-core judges it for people who use assistive technology.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const axe = fs.readFileSync(
    createRequire(path.join(process.env.MODULES, 'x.js')).resolve('axe-core/axe.min.js'),
    'utf8',
);
const GRAVE = ['serious', 'critical'];
/** A4 between its margins, in CSS pixels. */
const PAPER = { width: 688, height: 1016 };
/** More stops than any page has. */
const STOPS_MAX = 400;
const STOPS = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';

export class Look {
    constructor(browser, sizes) {
        Object.assign(this, { browser, sizes });
    }

    /** All that is wrong with a page that was answered to somebody, in one error. */
    async at(document, cookies, name, { print = false }) {
        const answer = {
            status: document.status(),
            headers: await document.allHeaders(),
            body: await document.body(),
        };
        // axe-core needs scripts; the page is the same, and its policy stays in force.
        const context = await this.browser.newContext({ viewport: this.sizes.DESK });
        await context.addCookies(cookies);
        const page = await context.newPage();
        const wrong = [];
        const file = (end) => path.join(process.env.SCREENSHOTS, `${name.replaceAll(/[^\w]+/g, '-')}-${end}`);
        page.on('console', (message) => {
            const isStatus = answer.status >= 400 && message.text().startsWith('Failed to load resource');
            if (!isStatus && ['error', 'warning'].includes(message.type())) wrong.push(`console: ${message.text()} ${message.location().url}`);
        });
        await page.route(document.url(), (route) => route.fulfill(answer));
        await page.goto(document.url());
        wrong.push(...(await keyboard(page)));
        await page.evaluate(axe);
        for (const [size, viewport] of Object.entries(this.sizes)) {
            await page.setViewportSize(viewport);
            for (const colorScheme of ['light', 'dark']) {
                await page.emulateMedia({ colorScheme });
                const picture = file(`${size.toLowerCase()}-${colorScheme}.png`);
                await page.screenshot({ path: picture, fullPage: true, animations: 'disabled' });
                wrong.push(...(await defects(page)).map((one) => `${size.toLowerCase()}, ${colorScheme}: ${one}`));
            }
        }
        if (print) {
            await page.emulateMedia({ colorScheme: 'light', media: 'print' });
            await page.setViewportSize(PAPER);
            await page.screenshot({ path: file('print.png'), fullPage: true });
            const pdf = await page.pdf({ preferCSSPageSize: true, path: file('print.pdf') });
            const pages = pdf.toString('latin1').match(/\/Type\s*\/Page\b/g).length;
            if (pages !== 1) wrong.push(`it is printed on ${pages} pages`);
        }
        await context.close();
        if (wrong.length > 0) throw new Error([...new Set(wrong)].join('\n'));
    }
}

/** What is wrong with the page as it is laid out now. */
async function defects(page) {
    const found = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        const found = [...document.images].filter((one) => one.naturalWidth === 0).map((one) => `no picture: ${one.src}`);
        if (scrollWidth > clientWidth) found.push(`the page is ${scrollWidth} pixels wide, the window ${clientWidth}`);
        return found;
    });
    // Style sheets are not fetched a second time by axe-core: the page's policy forbids it.
    const { violations } = await page.evaluate(() => window.axe.run({ preload: false, resultTypes: ['violations'] }));
    for (const { id, impact, help, nodes } of violations) {
        const words = `axe-core, ${impact}, ${id}: ${help}: ${nodes.map((node) => node.html).join(' ')}`;
        if (GRAVE.includes(impact)) found.push(words);
        else process.stderr.write(`note    ${page.url().replace(/^.*?\/\w{32}/, '')}: ${words}\n`);
    }
    return found;
}

/** Walks through the page with the Tab key: every stop, in the order of the page, and seen where it is. */
async function keyboard(page) {
    const stops = await page.evaluate((stops) => {
        const canStop = (one) => !one.disabled && one.checkVisibility();
        // Of radio buttons of one name, Tab stops at one.
        const isFirst = (one, at, all) =>
            one.type !== 'radio' || all.findIndex((other) => other.name === one.name && other.form === one.form) === at;
        const found = [...document.querySelectorAll(stops)].filter(canStop).filter(isFirst);
        found.forEach((one, at) => (one.dataset.stop = at));
        return found.map((one) => one.outerHTML.slice(0, 120));
    }, STOPS);
    // A page may begin at a place of its own choice; what comes before is reached by going around.
    await page.evaluate(() => document.activeElement?.blur());
    const wrong = [];
    const reached = [];
    for (let count = 0; count < Math.min(STOPS_MAX, stops.length + 2); count += 1) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => {
            const one = document.activeElement;
            if (one === null || one === document.body) return null;
            const radio = one.type === 'radio' && document.querySelector(`[type=radio][name="${one.name}"][data-stop]`);
            const stop = (radio || one).dataset.stop;
            const { outlineStyle, outlineWidth } = getComputedStyle(one);
            const box = one.getBoundingClientRect();
            const isSeen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
            const isMarked = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
            return { stop: stop === undefined ? null : Number(stop), isSeen, isMarked, html: one.outerHTML.slice(0, 120) };
        });
        if (at === null) continue;
        if (reached.includes(at.stop)) break;
        reached.push(at.stop);
        if (at.stop === null) wrong.push(`Tab stops at what is no control: ${at.html}`);
        if (!at.isMarked) wrong.push(`the focus is not visible on ${at.html}`);
        if (!at.isSeen) wrong.push(`the focus is outside of the window on ${at.html}`);
    }
    const begin = Math.max(reached.indexOf(0), 0);
    const inOrder = [...reached.slice(begin), ...reached.slice(0, begin)];
    const missed = stops.filter((_, at) => !inOrder.includes(at));
    if (missed.length > 0) wrong.push(`Tab does not reach ${missed.join(' ')}`);
    else if (inOrder.some((stop, at) => stop !== at)) wrong.push(`Tab goes in the order ${inOrder.join(', ')}`);
    return wrong.concat(await skips(page));
}

/** The first stop leads past the navigation. */
async function skips(page) {
    const skip = page.locator('.skip');
    if ((await page.locator('nav').count()) === 0) return [];
    if ((await skip.count()) === 0) return ['no link leads past the navigation'];
    await skip.focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    const isPast = await page.evaluate(() => {
        const first = document.querySelector('main').querySelector('[data-stop]');
        return first === null || document.activeElement === first;
    });
    await page.evaluate(() => {
        document.activeElement.blur();
        window.scrollTo(0, 0);
    });
    return isPast ? [] : ['the skip link does not lead to the first control of the content'];
}
