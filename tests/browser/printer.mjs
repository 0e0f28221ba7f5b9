// An officer and a printer: registered, certified, narrowed, suspended, resumed.

import { expect, journey } from './journey.mjs';

const NAME = 'p1.printers.browser.test';

await journey(async ({ outside, row, opens }) => {
    let anna;
    let registration;
    const key = [];

    await row('an officer opens her console by the link', async () => {
        anna = await opens('officer');
        await anna.sees('Overview');
    });

    await row('she begins to register a printer, and says who asks for it', async () => {
        await anna.follows('Registrations');
        await anna.follows('Register a client');
        await anna.fills('Owner', 'Print room, Paul');
    });
    await anna.looks('registering, who');
    await row('she tries a name before she goes on', async () => {
        await anna.presses('Go on');
        await anna.fills('Allowed, an entry a line', 'sufix:printers.browser.test');
        await anna.presses('Go on');
        await anna.sees('please mend this first');
    });
    await anna.looks('registering, a mistake');
    await row('and mends what she mistyped', async () => {
        await anna.fills('Allowed, an entry a line', 'suffix:printers.browser.test');
        await anna.fills('Name or address', NAME);
        await anna.presses('Look at the list');
        await anna.sees(`${NAME}: allow`);
    });
    await anna.looks('registering, names');
    await row('she leaves the key and the profile as they are', () => anna.presses('Go on'));
    await anna.looks('registering, key');
    await row('she looks at it all', async () => {
        await anna.presses('Go on');
        await anna.sees('Print room, Paul', 'suffix:printers.browser.test');
    });
    await anna.looks('registering, check');
    await row('she is shown the key, with recipes', async () => {
        await anna.presses('Register');
        await anna.sees('shown now and never again', 'certbot');
        for (const name of ['Key id', 'HMAC key']) key.push(await anna.fact(name));
    });
    await anna.looks('registering, the key');
    await row('she opens the sheet for the person at the printer', () =>
        anna.inANewTab('Open the sheet', async () => {
            await anna.sees('Keep this page like a key', ...key);
            await anna.looks('sheet', { print: true });
        }));
    await row('nobody sees the key a second time', async () => {
        await anna.follows('go on to the registration');
        await anna.sees('Print room, Paul', 'pending');
        registration = anna.below(anna.page.url()).split('/')[1];
        // The browser has kept nothing, and would have to send the form again.
        await anna.page.goBack().catch(() => null);
        const shown = await anna.page.locator('html').innerText();
        expect(!shown.includes(key[1]), `going back shows it:\n${shown}`);
        await anna.goes(`registrations/${registration}`);
        await anna.seesNothingOf(key[1]);
    });
    await anna.looks('registration, pending');

    await row('certbot on the printer gets a certificate with the key that she was shown', async () => {
        const [kid, hmac_key] = key;
        await outside('the printer gets a certificate', { name: NAME, kid, hmac_key });
        await anna.goes(`registrations/${registration}`);
        await anna.sees('active', NAME);
    });
    await anna.looks('registration, active');

    await row('the editor explains a name, rule by rule', async () => {
        await anna.follows('Change what it allows');
        await anna.fills('Name or address', NAME);
        await anna.presses('Explain');
        await anna.sees(`${NAME}: allow`);
    });
    await anna.looks('list, a name explained');

    await row('an entry that is none is told by the line', async () => {
        await anna.fills('Allowed, an entry a line', 'exact:p2.printers.browser.test\nsufix:wrong');
        await anna.presses('Show what would change');
        await anna.sees('sufix:wrong');
    });
    await anna.looks('list, a mistake');

    await row('a narrower list names the certificate that it would lose, before it is saved', async () => {
        await anna.fills('Allowed, an entry a line', 'exact:p2.printers.browser.test');
        await anna.fills('Also try this name', NAME);
        await anna.presses('Show what would change');
        await anna.sees('Nothing is saved yet.', `${NAME}: refuse`);
        const lost = await anna.page.getByRole('region', { name: 'renewal' }).innerText();
        expect(lost.includes(NAME), `the table does not name the certificate:\n${lost}`);
    });
    await anna.looks('list, what would change');

    await row('she saves it', async () => {
        await anna.presses('Save this list');
        await anna.sees('exact:p2.printers.browser.test');
    });

    await row("the printer's next order is refused, and certbot's log has the rule", () =>
        outside('the printer is refused', { name: NAME, rule: 'identifier.not-listed' }));

    await row('she allows it again, and the printer renews', async () => {
        await anna.goes(`registrations/${registration}/list`);
        await anna.fills('Allowed, an entry a line', 'suffix:printers.browser.test');
        await anna.presses('Show what would change');
        await anna.presses('Save this list');
        await outside('orders are accepted again', { name: NAME });
        await outside('the printer renews', { name: NAME });
    });

    await row('she suspends it, and within two seconds orders are refused', async () => {
        await anna.goes(`registrations/${registration}`);
        await anna.fills('Reason', 'The printer was moved and nobody knows where to');
        const clickedAt = Date.now();
        await anna.presses('Suspend this registration');
        await outside('orders are refused at once', { name: NAME, clicked_at_millis: clickedAt });
        await anna.sees('The registration is suspended');
    });
    await anna.looks('registration, suspended');

    await row("certbot's log says why", () =>
        outside('the printer is refused', { name: NAME, rule: 'suspended' }));

    await row('the overview shows what is suspended', async () => {
        await anna.goes('');
        await anna.sees(registration, 'nobody knows where to');
    });
    await anna.looks('overview, one suspended');

    await row('she resumes it, and the printer renews', async () => {
        await anna.follows(registration);
        await anna.presses('Resume this registration');
        await anna.sees('The registration is active');
        await outside('orders are accepted again', { name: NAME });
        await outside('the printer renews', { name: NAME });
    });
    await anna.looks('registration, resumed');
});
