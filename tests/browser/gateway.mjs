// The pages of the gateway itself: errors explained, what happened to an order, orders that are paused.

import { expect, journey } from './journey.mjs';

/** A page for each type of error (RFC 8555 section 6.7, and later ones). */
const PAGES_MIN = 25;

await journey(async ({ outside, row, arrives }) => {
    const { help } = await outside('the addresses of the gateway');
    const paul = await arrives(help);
    let pages = [];

    await row('there is a list of errors', async () => {
        await paul.sees('malformed', 'rateLimited');
        pages = await paul.page.locator('main a').evaluateAll((all) => all.map((one) => new URL(one.href).pathname));
        expect(pages.length >= PAGES_MIN, `it has only ${pages.length}`);
    });
    await paul.looks('help');
    for (const page of pages) {
        const name = page.split('/').at(-1);
        await row(`a page explains ${name}`, async () => {
            await paul.goes(page.slice(1));
            await paul.sees('What happened', 'What you can do', 'Whom to ask');
            const below = await paul.page.locator('footer').innerText();
            expect(below.includes(`acme:error:${name},`), `it is not for ${name}: ${below}`);
        });
        await paul.looks(`help, ${name}`);
    }

    await row('the link in a refusal tells why, and leads to the page of the error', async () => {
        const { link } = await outside('a client is refused', { name: 'stranger.allowed.browser.test' });
        await paul.page.goto(link);
        await paul.sees('Why this was refused', 'stranger.allowed.browser.test');
    });
    await paul.looks('transcript, refused');
    await row('and from there to the page of the error', async () => {
        await paul.follows('About this kind of error');
        await paul.sees('What it means');
    });
    await row('an order tells how it went', async () => {
        const { order } = await outside('a client gets a certificate', { name: 'told.warehouse.browser.test' });
        await paul.page.goto(order.replace('/order/', '/transcript/'));
        await paul.sees('What happened to this order: valid', 'told.warehouse.browser.test');
    });
    await paul.looks('transcript, issued');

    await row('a client that only ever fails is told a page', async () => {
        const { link } = await outside('a client is paused', { name: 'paused.browser.test' });
        await paul.page.goto(link);
        await paul.sees('Orders are paused', 'paused.browser.test');
    });
    await paul.looks('paused');
    await row('where a person lets it try again', async () => {
        await paul.presses('Let it try again');
        await paul.sees('Nothing is paused', 'can order certificates');
    });
    await paul.looks('paused, not any more');
});
