// Every page and every form that the other journeys do not meet.

import { expect, journey } from './journey.mjs';

/** What nobody renews. */
const SHORT = 'door.reception.browser.test';
/** Until it is missed. */
const PATIENCE_MS = 120_000;

await journey(async ({ outside, row, opens }) => {
    const anna = await opens('officer');
    const bert = await opens('approver');
    const cleo = await opens('auditor');

    await row('an empty overview says that nothing waits', async () => {
        await anna.sees('Nothing waits for a decision.');
    });
    await anna.looks('overview, quiet');

    const wait = await outside('a request waits', { name: 'till.shop.browser.test' });
    const other = await outside('a request waits', { name: 'other.shop.browser.test' });
    await outside('a client gets a certificate for a short time', { name: SHORT });
    const issued = await outside('a client gets a certificate', { name: 'scanner.warehouse.browser.test' });

    await row('the overview shows what waits', async () => {
        await bert.goes('');
        await bert.sees('Accounting, Tina');
    });
    await bert.looks('overview, two wait');
    await row('and leads to it', async () => {
        await bert.follows('req_');
        await bert.sees('till.shop.browser.test', 'Accounting, Tina');
    });
    await bert.looks('approvals, two wait');
    await row('an officer may not decide, and is told so', async () => {
        await anna.goes('approvals');
        await anna.sees('Approvers decide');
    });
    await anna.looks('approvals, for an officer');
    await row('an approver approves one and rejects the other', async () => {
        await bert.presses('Approve');
        await bert.sees('It is decided');
        await bert.fills('Reason; the ACME client is shown this sentence', 'This till is not in use any more');
        await bert.presses('Reject');
        await bert.sees('No certificate request waits for a decision.');
    });
    await bert.looks('approvals, none');

    await row('registrations are found by what the form asks', async () => {
        await anna.goes('registrations');
        await anna.fills('Owner, exactly', 'Accounting, Tina');
        await anna.presses('Search');
        await anna.sees(wait.registration, other.registration);
    });
    await anna.looks('registrations, found');
    await row('a registration that is not there is said not to be', async () => {
        await anna.goes('registrations/reg_00000000000000000000000000');
        await anna.sees('This was not possible');
    });
    await anna.looks('not found');

    await row('certificates are found by what the form asks', async () => {
        await anna.goes('certificates');
        await anna.fills('For this name or address', 'scanner.warehouse.browser.test');
        await anna.presses('Search');
        await anna.sees('scanner.warehouse.browser.test');
    });
    await anna.looks('certificates, found');
    await row('a certificate is held, reinstated and revoked', async () => {
        await anna.goes(`certificates/${issued.certificate}`);
        await anna.sees('good');
    });
    await anna.looks('certificate, good');
    await row('held', async () => {
        await anna.chooses('Reason', 'certificateHold');
        await anna.ticks('it is meant');
        await anna.presses('Revoke this certificate');
        await anna.sees('The certificate is hold');
    });
    await anna.looks('certificate, held');
    await row('reinstated', async () => {
        await anna.presses('Take the hold away');
        await anna.sees('The certificate is good');
    });
    await row('revoked', async () => {
        await anna.chooses('Reason', 'superseded');
        await anna.ticks('it is meant');
        await anna.presses('Revoke this certificate');
        await anna.sees('The certificate is revoked');
    });
    await anna.looks('certificate, revoked');

    await row('the audit trail is for auditors', async () => {
        await anna.goes('audit');
        await anna.sees('another role');
        await cleo.goes('audit');
        await cleo.fills('To what, by its id', issued.certificate);
        await cleo.presses('Search');
        await cleo.sees('revoke');
    });
    await anna.looks('audit, to an officer');
    await cleo.looks('audit, to an auditor');
    await row('an auditor sees everything and changes nothing', async () => {
        await cleo.goes(`registrations/${wait.registration}`);
        await cleo.fills('Reason', 'Auditors may not');
        await cleo.presses('Suspend this registration');
        await cleo.sees('another role');
    });

    await row('a renewal that stays away is on the overview, and so is the end of the certificate', async () => {
        const until = Date.now() + PATIENCE_MS;
        const missed = anna.page.getByRole('region', { name: 'Renewals that should have come and did not' });
        do await anna.goes('');
        while ((await missed.getByText(SHORT).count()) === 0 && Date.now() < until);
        expect((await missed.getByText(SHORT).count()) === 1, 'the radar does not tell of it');
        const ending = anna.page.getByRole('region', { name: 'Ending within 14 days' });
        expect((await ending.getByText(SHORT).count()) > 0, 'nothing ends');
    });

    const reports = {
        Issued: 'scanner.warehouse.browser.test',
        Expiring: SHORT,
        'Missed renewals': SHORT,
        Refused: 'Totals',
        Inactive: 'Registrations without activity',
    };
    await row('there are reports', async () => {
        await anna.follows('Reports');
        await anna.sees(...Object.keys(reports), 'Who could');
    });
    await anna.looks('reports');
    for (const [title, words] of Object.entries(reports)) {
        await row(`the report ${title}, on a page and as a file`, async () => {
            await anna.goes('reports');
            await anna.follows(title);
            await anna.presses('Show');
            await anna.sees(words);
            if (words === SHORT) await anna.isInSight(SHORT);
            const lines = (await anna.downloads('Download as CSV', '.csv')).trim().split('\n');
            expect(lines[0].split(',').length > 3, `the file begins ${lines[0]}`);
        });
        await anna.looks(`report, ${title.toLowerCase()}`);
    }
    await row('who could have had a name', async () => {
        await anna.goes('reports/who-could');
        await anna.fills('DNS name', 'scanner.warehouse.browser.test');
        await anna.presses('Show');
        await anna.sees(issued.registration);
    });
    await anna.looks('report, who could');

    await row('the link that a client was told leads to the rule', async () => {
        const { link } = await outside('a client is refused', { name: 'nobody.allowed.browser.test' });
        await anna.follows('Orders');
        await anna.fills('Link or id', link);
        await anna.presses('Show what happened');
        await anna.sees('identifier.not-listed');
    });
    await anna.looks('order, refused');
    await row('an order leads to its certificate', async () => {
        await anna.fills('Link or id', issued.order);
        await anna.presses('Show what happened');
        await anna.sees('At the gateway', 'issued');
    });
    await anna.looks('order, issued');
    await row('an order that nobody knows is said to be unknown', async () => {
        await anna.fills('Link or id', 'what the printer shows');
        await anna.presses('Show what happened');
        await anna.sees('please mend this first');
    });
    await anna.looks('order, unknown');

    await row('the overview with all that happened', () => anna.goes(''));
    await anna.looks('overview, busy');
});
