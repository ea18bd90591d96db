package dev.comanda.client;

/** The services of the API. */
public enum Service {
  /** OrderService. */
  ORDERS,
  /** LifecycleService. */
  LIFECYCLE,
  /** WatchService. */
  WATCHES,
  /** MailService. */
  MAILS,
  /** DispatchService. */
  DISPATCH,
  /** AnalyticsService. */
  ANALYTICS
}
