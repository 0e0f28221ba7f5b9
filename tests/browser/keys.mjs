// How a client is introduced: by a directory link, by a key that is exchanged, anew after it lost its own; and the end.

import { expect, journey } from './journey.mjs';

const NAME = 'n1.nas.browser.test';

await journey(async ({ outside, row, tried, opens }) => {
    const anna = await opens('officer');
    const words = ['registrations', 'create', '--owner', 'Storage, Sven', '--allow', 'suffix:nas.browser.test'];
    const { id } = await outside('command', { words });
    const keys = `registrations/${id}/key`;
    let url;

    await row('a registration leads to its key and directory link', async () => {
        await anna.goes(`registrations/${id}`);
        await anna.follows('Key and directory link');
        await anna.sees('It has none.');
    });
    await anna.looks('keys');

    await row('she draws a directory link for a device that knows no keys', async () => {
        await anna.presses('Draw a directory link');
        url = await anna.fact('Directory link');
        expect(/\/acme\/registered\/r\/[\w-]{22,}\/directory$/.test(url), url);
    });
    await anna.looks('directory link, shown once');
    await row('she prints the sheet for it', () =>
        anna.inANewTab('Open the sheet', async () => {
            await anna.sees('Keep this page like a key', url);
            await anna.looks('sheet, directory link', { print: true });
        }));
    await row('certbot gets a certificate by the URL alone', () =>
        outside('a NAS gets a certificate', { name: NAME, url }));
    await row('nobody sees the URL a second time', async () => {
        await anna.goes(keys);
        expect(!(await anna.page.content()).includes(url), 'the page shows it again');
    });
    await row('a time that is none is told beside its field', async () => {
        await anna.fills('The link before goes on for', 'a while');
        await anna.presses('Draw a directory link');
        await anna.sees('please mend this first', 'a while');
    });
    await anna.looks('keys, a mistake');
    await row('she ends the URL, and it lets in nobody any more', async () => {
        await anna.goes(keys);
        await anna.presses('End the directory link');
        await anna.sees('Storage, Sven');
        await outside('a stranger is turned away', { name: 'n2.nas.browser.test', url });
    });

    await row('she exchanges the key, and the one before goes on for a day', async () => {
        await anna.goes(keys);
        await anna.fills('The key before goes on for', '1d');
        await anna.presses('Draw a new key');
        await anna.sees('the one before goes on until');
    });
    await anna.looks('key, exchanged');

    await row('the longest key that a client can be told is on one page too', async () => {
        const longest = ['--algorithm', 'HS512', '--key-id', 'network-storage-of-the-second-floor-in-building-17-2026'];
        const other = await outside('command', { words: [...words, ...longest] });
        await anna.goes(`registrations/${other.id}/key`);
        await anna.presses('Draw a new key');
        expect((await anna.fact('HMAC key')).length === 86, 'the key has not 64 octets');
    });
    await tried('its sheet', () =>
        anna.inANewTab('Open the sheet', async () => {
            await anna.sees('Keep this page like a key', 'building-17-2026');
            await anna.looks('sheet, the longest key', { print: true });
        }));

    await row('the NAS lost its account key: she withdraws it, and within two seconds it is refused', async () => {
        await anna.goes(keys);
        await anna.fills('Reason', 'The NAS was reset');
        await anna.ticks('it is meant');
        const clickedAt = Date.now();
        await anna.presses('Withdraw the account key');
        await outside('the account of the NAS is refused at once', { name: NAME, clicked_at_millis: clickedAt });
    });
    await anna.looks('key, after a new beginning');
    await row('the NAS begins anew with the key that she was shown', async () => {
        const [kid, hmac_key] = [await anna.fact('Key id'), await anna.fact('HMAC key')];
        await outside('the NAS begins anew', { name: NAME, kid, hmac_key });
    });

    await row('before the end she sees the certificates that can end with it', async () => {
        await anna.goes(`registrations/${id}`);
        await anna.follows('Revoke it for good');
        await anna.sees(NAME, 'cannot be taken back');
    });
    await anna.looks('ending');
    await row('she ends it with its certificates', async () => {
        await anna.fills('Reason', 'The NAS was scrapped');
        await anna.ticks('Revoke the certificates above too');
        await anna.ticks('It is meant');
        await anna.presses('Revoke this registration');
        await anna.sees('The registration is revoked');
        await anna.goes(`certificates?registration=${id}&status=good`);
        await anna.sees('There is none.');
    });
    await row('what is left of it', () => anna.goes(`registrations/${id}`));
    await anna.looks('registration, ended');
});
