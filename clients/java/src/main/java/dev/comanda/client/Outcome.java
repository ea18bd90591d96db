package dev.comanda.client;

/** Whether a failed call was applied. */
public enum Outcome {
  /** Nothing was applied. */
  NOT_APPLIED,
  /** It may have been applied: repeat it with the same request_id. */
  UNKNOWN
}
