// A call of somebody whose browser gives the page nothing.
import { enter, openTracks, press, withDevices } from './call.js';
import { expect, test } from './support.js';

test.use({ launchOptions: withDevices('--use-fake-ui-for-media-stream=deny') });

test('a microphone that is refused is told, and one may listen', async ({ person }) => {
  const ada = await enter(await person());
  await ada.locator('#join-call').click();
  await expect(ada.locator('.call')).toContainText('doesn’t let this page use the microphone');
  await press(ada, 'Join without a microphone');
  await expect(ada.locator('.call-controls')).toBeVisible();
  await press(ada, 'Camera on');
  await expect(ada.locator('.call')).toContainText('doesn’t let this page use the camera');
  await press(ada, 'Leave');
  await expect(ada.locator('.call-controls')).toHaveCount(0);
  expect(await openTracks(ada)).toBe(0);
});
