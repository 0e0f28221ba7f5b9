// What a browser lets others do with the console: nothing.

import http from 'node:http';

import { expect, journey } from './journey.mjs';

const SCRIPT = '<script>document.title = "taken"</script>';

await journey(async ({ outside, row, tried, opens, arrives, settle }) => {
    let anna;
    let stranger;

    await row('the link lets in one browser and no second one', async () => {
        anna = await opens('officer');
        stranger = await arrives(anna.link);
        expect(stranger.document.status() === 403, `a second browser was answered ${stranger.document.status()}`);
        await stranger.sees('it works once');
    });
    await stranger.looks('refused, the link was used');
    await tried('nobody sees a page without a session', async () => {
        await stranger.goes('registrations');
        expect(stranger.document.status() === 403, `a stranger was answered ${stranger.document.status()}`);
        await stranger.sees('has no session');
    });

    await tried('its cookie is kept from scripts and from other sites', async () => {
        const [cookie, ...more] = await anna.page.context().cookies();
        expect(more.length === 0, 'there is more than one cookie');
        expect(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie));
        expect(cookie.path === anna.at && cookie.expires === -1, JSON.stringify(cookie));
    });

    const words = ['registrations', 'create', '--owner', SCRIPT, '--allow', 'suffix:strange.browser.test'];
    const registration = await outside('command', { words });
    const page = `registrations/${registration.id}`;

    await tried('a script in what others wrote is text', async () => {
        await anna.goes(page);
        await anna.sees(SCRIPT);
    });
    await anna.looks('registration, a strange owner');

    await tried('a script in a page does not run, and neither does one from elsewhere', async () => {
        // With scripts allowed in the browser, and with a template that forgot to escape.
        const context = await settle({});
        await context.addCookies(await anna.page.context().cookies());
        const victim = await context.newPage();
        const blocked = [];
        victim.on('console', (message) => blocked.push(message.text()));
        const elsewhere = `${anna.origin}/script.js`;
        await victim.route(`**/${page}`, async (route) => {
            const answer = await route.fetch();
            const html = await answer.text();
            const evil = `${SCRIPT}<script src="${elsewhere}"></script><img src="${anna.origin}/x" onerror="document.title = 'taken'">`;
            await route.fulfill({ response: answer, body: html.replace('<main', `${evil}<main`) });
        });
        await victim.goto(`${anna.origin}${anna.at}/${page}`);
        expect((await victim.title()) !== 'taken', 'the script ran');
        const refusals = blocked.filter((words) => words.includes('Content Security Policy'));
        expect(refusals.length >= 2, `the browser did not refuse it:\n${blocked.join('\n')}`);
        await context.close();
    });

    await tried('a form of another site changes nothing, even with the token', async () => {
        await anna.goes(page);
        const token = await anna.page.locator('[name=form_token]').first().getAttribute('value');
        const action = `${anna.origin}${anna.at}/${page}/suspend`;
        const form = `<form method="post" action="${action}"><input name="form_token" value="${token}">
            <input name="reason" value="forged"><button>Win a prize</button></form>`;
        const site = http.createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end(form));
        await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
        // In the same browser, which has the session's cookie.
        const lured = await anna.page.context().newPage();
        await lured.goto(`http://127.0.0.1:${site.address().port}/`);
        const [answer] = await Promise.all([
            lured.waitForResponse((response) => response.request().method() === 'POST'),
            lured.getByRole('button').click(),
        ]);
        expect(answer.status() === 403, `the form was answered ${answer.status()}`);
        await lured.close();
        site.close();
        const shown = await outside('command', { words: ['registrations', 'show', registration.id] });
        expect(shown.status === 'pending', `the registration is ${shown.status}`);
    });

    await tried('nobody frames a page', async () => {
        const frame = `<iframe src="${anna.origin}${anna.at}/"></iframe>`;
        const site = http.createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end(frame));
        await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
        const lured = await anna.page.context().newPage();
        await lured.goto(`http://127.0.0.1:${site.address().port}/`);
        const inside = await lured.frames()[1].content();
        expect(!inside.includes("Officer's console"), 'the page is shown in a frame');
        await lured.close();
        site.close();
    });
});
