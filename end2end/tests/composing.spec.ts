// The events that browsers were seen to send when somebody composes and presses Enter, replayed one by one: the systems
// themselves are not here. Where each sequence was reported stands beside it; the rule is app/src/components/enter.rs.
import type { Page } from '@playwright/test';
import { expect, open, test, texts } from './support.js';

type Step =
  | { on: 'compositionstart' | 'compositionupdate' | 'compositionend'; data: string }
  | { on: 'keydown' | 'keyup'; keyCode: number; isComposing: boolean }
  /** What the input method has put into the field by now. */
  | { value: string }
  /** The browser goes back to its loop. */
  | 'turn';

const start: Step = { on: 'compositionstart', data: '' };
const update = (data: string, value = data): Step[] => [{ on: 'compositionupdate', data }, { value }];
const end = (data: string): Step => ({ on: 'compositionend', data });
/** An Enter that the input method has taken, while it composes and after. */
const taken: Step = { on: 'keydown', keyCode: 229, isComposing: true };
const takenLate: Step = { on: 'keydown', keyCode: 229, isComposing: false };
const clean: Step = { on: 'keydown', keyCode: 13, isComposing: false };
const up: Step = { on: 'keyup', keyCode: 13, isComposing: false };

/** Plays the steps in the field; an Enter that nobody prevents puts a line break there, as browsers do. */
const play = (page: Page, steps: Step[]) =>
  page.locator('textarea[name=message]').evaluate(async (element, steps) => {
    const field = element as HTMLTextAreaElement;
    field.focus();
    const about = { bubbles: true, cancelable: true };
    for (const step of steps) {
      if (step === 'turn') {
        await new Promise((done) => setTimeout(done));
      } else if ('value' in step) {
        field.value = step.value;
        field.dispatchEvent(new InputEvent('input', about));
      } else if ('data' in step) {
        field.dispatchEvent(new CompositionEvent(step.on, { ...about, data: step.data }));
      } else {
        const { on, ...press } = step;
        const goesOn = field.dispatchEvent(new KeyboardEvent(on, { ...about, ...press, key: 'Enter', code: 'Enter' }));
        if (on === 'keydown' && goesOn && press.keyCode === 13) field.value += '\n';
      }
    }
  }, steps);

const sequences: [string, Step[]][] = [
  // hermes-webui#7348: one Enter, which ends the syllable.
  ['Chrome on macOS, Hangul', [start, ...update('네'), taken, end('네'), 'turn', up]],
  // hermes-agent#44278: after the one that the input method takes comes a second, clean one.
  ['Chrome on Windows, Hangul', [start, ...update('네'), taken, end('네'), clean, 'turn', up]],
  // The same, had the second one come a turn later.
  ['Chrome on Windows, Hangul, in two turns', [start, ...update('네'), taken, end('네'), 'turn', clean, up]],
  // ironclaw#1139, WebKit 165004: composing has ended before the key is told.
  ['Safari, Hangul', [start, ...update('네'), end('네'), takenLate, 'turn', up]],
];

for (const [where, steps] of sequences) {
  test(`${where}: it is sent once and whole`, async ({ person }) => {
    const ada = await person();
    await open(ada, '/rooms/tea');
    await play(ada, steps);
    await expect(texts(ada)).toHaveText(['네']);
    await expect(ada.locator('textarea[name=message]')).toHaveValue('');
    // Nothing comes after it. (For 60 ms another Enter would be taken for the same press.)
    await ada.waitForTimeout(150);
    await ada.locator('textarea[name=message]').fill('끝');
    await ada.locator('textarea[name=message]').press('Enter');
    await expect(texts(ada)).toHaveText(['네', '끝']);
  });
}

const choices: [string, Step[]][] = [
  ['Chrome, Japanese', [start, ...update('にほん'), ...update('日本'), taken, end('日本'), 'turn', up]],
  ['Safari, Japanese', [start, ...update('にほん'), ...update('日本'), end('日本'), takenLate, 'turn', up]],
  ['Chrome on Windows, Hanja', [start, ...update('한'), taken, end('韓'), 'turn', up]],
];

for (const [where, steps] of choices) {
  test(`${where}: an Enter that chooses what is meant sends nothing`, async ({ person }) => {
    const ada = await person();
    await open(ada, '/rooms/tea');
    const chosen = where.includes('Hanja') ? '韓' : '日本';
    await play(ada, [...steps, { value: chosen }]);
    await expect(ada.locator('textarea[name=message]')).toHaveValue(chosen);
    await expect(texts(ada)).toHaveCount(0);
    await ada.locator('textarea[name=message]').press('Enter');
    await expect(texts(ada)).toHaveText([chosen]);
  });
}
