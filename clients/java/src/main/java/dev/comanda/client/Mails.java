package dev.comanda.client;

import dev.comanda.v1.ListMailsRequest;
import dev.comanda.v1.ListMailsResponse;
import dev.comanda.v1.MailServiceGrpc;
import dev.comanda.v1.ResendDeadMailsRequest;
import dev.comanda.v1.ResendDeadMailsResponse;
import dev.comanda.v1.ResendMailRequest;
import dev.comanda.v1.ResendMailResponse;

/** MailService. The whole contract of each call is at its rpc in {@code proto/comanda/v1/mail_service.proto}. */
public final class Mails {
  private final Calls calls;

  Mails(Calls calls) {
    this.calls = calls;
  }

  /** Lists the mails of one order, or the undelivered mails of all. */
  public ListMailsResponse listMails(ListMailsRequest request) {
    return calls.call(MailServiceGrpc.getListMailsMethod(), request);
  }

  /** Sends the mail of one transition again, as a new copy with a Message-ID of its own. */
  public ResendMailResponse resendMail(ResendMailRequest request) {
    return calls.call(MailServiceGrpc.getResendMailMethod(), request);
  }

  /** Sends dead mails again, each as a new copy. */
  public ResendDeadMailsResponse resendDeadMails(ResendDeadMailsRequest request) {
    return calls.call(MailServiceGrpc.getResendDeadMailsMethod(), request);
  }
}
