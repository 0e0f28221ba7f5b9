// Waivers of challenges: proposed by one person, decided by another, taken back.

import { journey } from './journey.mjs';

const MONTH_MS = 30 * 24 * 60 * 60 * 1000;

await journey(async ({ outside, row, opens }) => {
    const anna = await opens('officer');
    const bert = await opens('approver');
    const until = new Date(Date.now() + MONTH_MS).toISOString().slice(0, 10);
    const create = ['registrations', 'create', '--owner', 'Plant, Petra', '--allow', 'suffix:plant.browser.test'];
    const { id } = await outside('command', { words: create });
    const proposed = async (name) => {
        await anna.goes(`registrations/${id}/waive`);
        await anna.fills('Names, an entry a line', `exact:${name}`);
        await anna.fills('one of these networks', '192.0.2.0/24');
        await anna.fills('It ends on', until);
        await anna.fills('Reason', 'The controllers have no way out of the plant');
        await anna.presses('Propose this waiver');
        await anna.sees(name, 'proposed');
        return anna.below(anna.page.url()).split('/')[1];
    };
    let one;
    let other;

    await row('an officer is told what is missing before she proposes a waiver', async () => {
        await anna.goes(`registrations/${id}/waive`);
        await anna.sees('No profile that this registration may use takes waivers');
    });
    await anna.looks('proposing a waiver');
    await row('and beside the fields what she has to mend', async () => {
        await anna.fills('Names, an entry a line', 'press.plant.browser.test');
        await anna.fills('It ends on', 'soon');
        await anna.fills('Reason', 'The controllers have no way out of the plant');
        await anna.presses('Propose this waiver');
        await anna.sees('please mend this first');
    });
    await anna.looks('proposing a waiver, a mistake');
    await row('she proposes two', async () => {
        one = await proposed('press.plant.browser.test');
        other = await proposed('oven.plant.browser.test');
    });

    await row('the approver finds what was proposed among what waits', async () => {
        await bert.goes('approvals');
        await bert.sees('press.plant.browser.test', 'oven.plant.browser.test');
    });
    await bert.looks('approvals, waivers wait');
    await row('she who proposed it may not approve it', async () => {
        await anna.goes(`waivers/${one}`);
        await anna.sees('It waits for an approver');
    });
    await row('the approver sees for whom and on which evidence', async () => {
        await bert.goes('approvals');
        await bert.follows(one);
        await bert.sees('192.0.2.0/24', 'no way out of the plant', 'Plant, Petra');
    });
    await bert.looks('waiver, proposed');
    await row('he approves one', async () => {
        await bert.presses('Approve');
        await bert.sees('The waiver is approved');
    });
    await bert.looks('waiver, approved');
    await row('he rejects the other', async () => {
        await bert.goes(`waivers/${other}`);
        await bert.fills('Reason', 'The oven is not used any more', { within: 'Reject' });
        await bert.presses('Reject');
        await bert.sees('The waiver is rejected');
    });
    await row('the registration shows both', async () => {
        await anna.goes(`registrations/${id}`);
        await anna.sees('press.plant.browser.test', 'oven.plant.browser.test');
    });
    await anna.looks('registration, waivers');
    await row('the officer takes it back', async () => {
        await anna.goes(`waivers/${one}`);
        await anna.fills('Reason', 'The plant has a way out now');
        await anna.presses('Withdraw');
        await anna.sees('The waiver is withdrawn');
    });
});
