// A sound for new orders. Browsers allow one only after a click.

/** @type {AudioContext | null} */
let context = null;

export const isOn = () => context !== null;

/** To be called by a click. */
export function toggle() {
  if (context) {
    context.close();
    context = null;
    return;
  }
  context = new AudioContext();
  play();
}

/** Two short tones. */
export function play() {
  if (!context) return;
  tone(context, 880, 0);
  tone(context, 1175, 0.16);
}

/** @param {AudioContext} context @param {number} pitch @param {number} after */
function tone(context, pitch, after) {
  const [begin, oscillator, volume] = [context.currentTime + after, context.createOscillator(), context.createGain()];
  oscillator.frequency.value = pitch;
  volume.gain.setValueAtTime(0.0001, begin);
  volume.gain.exponentialRampToValueAtTime(0.25, begin + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.0001, begin + 0.3);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(begin);
  oscillator.stop(begin + 0.32);
}
