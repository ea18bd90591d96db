// What the workflows say: the columns, what comes next, and how long a step should take.

/** Without a timer a step is late after this long. */
const USUAL_STEP = 20 * 60 * 1000;
/** From this part of a step on, it is nearly late. */
const NEARLY = 0.75;

/** @typedef {{name: string, phase: string, labels: Record<string, string>}} Status */
/** @typedef {{fromStatus: string, toStatus: string, trigger: string, delayDuration?: string}} Edge */
/** @typedef {{name: string, revision: number, statuses: Status[], edges: Edge[]}} Workflow */

/** A duration of the API ("90.5s") in milliseconds. @param {string | undefined} text */
export const duration = (text) => (text ? Number.parseFloat(text) * 1000 : null);

/** Statuses that orders move through, in the workflow's order. @param {Workflow} workflow */
export const activeStatuses = (workflow) => workflow.statuses.filter((status) => status.phase === "PHASE_ACTIVE");

/** What people call a status. @param {Workflow | undefined} workflow @param {string} name @param {string} language */
export function label(workflow, name, language) {
  const labels = workflow?.statuses.find((status) => status.name === name)?.labels ?? {};
  return labels[language] ?? labels.en ?? Object.values(labels)[0] ?? name;
}

/** The step that the status's timer takes. @param {Workflow | undefined} workflow @param {string} status */
export const timerOf = (workflow, status) =>
  workflow?.edges.find((edge) => edge.fromStatus === status && edge.trigger === "TRIGGER_TIMER");

/** Where commands lead. @param {Workflow | undefined} workflow @param {string} status @param {string} trigger */
export const targets = (workflow, status, trigger) => [
  ...new Set((workflow?.edges ?? []).filter((edge) => edge.fromStatus === status && edge.trigger === trigger).map((edge) => edge.toStatus)),
];

/**
 * How late a step is: "fine", "nearly" or "late".
 * @param {Workflow | undefined} workflow
 * @param {{status: string, since: number, due: number | null}} card
 * @param {number} now
 */
export function lateness(workflow, card, now) {
  const step = card.due !== null ? card.due - card.since : (duration(timerOf(workflow, card.status)?.delayDuration) ?? USUAL_STEP);
  const part = step > 0 ? (now - card.since) / step : 0;
  if (part >= 1) return "late";
  return part >= NEARLY ? "nearly" : "fine";
}
