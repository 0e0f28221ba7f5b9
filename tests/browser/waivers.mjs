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
        const evidence = ['--name', `exact:${name}`, '--address', '10.20.0.0/16', '--until', until];
        const words = ['waivers', 'propose', id, ...evidence, '--reason', 'The controllers have no way out of the plant'];
        return (await outside('command', { words })).id;
    };
    const [one, other] = [await proposed('press.plant.browser.test'), await proposed('oven.plant.browser.test')];

    await row('the approver finds what was proposed among what waits', async () => {
        await bert.goes('approvals');
        await bert.sees('press.plant.browser.test', 'oven.plant.browser.test');
    });
    await bert.looks('approvals, waivers wait');
    await row('she who proposed it may not approve it', async () => {
        await anna.goes(`waivers/${one}`);
        await anna.presses('Approve');
        await anna.sees('This was not possible');
    });
    await row('the approver sees for whom and on which evidence', async () => {
        await bert.goes('approvals');
        await bert.follows(one);
        await bert.sees('10.20.0.0/16', 'no way out of the plant', 'Plant, Petra');
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
