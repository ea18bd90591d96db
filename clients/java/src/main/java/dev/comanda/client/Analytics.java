package dev.comanda.client;

import dev.comanda.v1.AnalyticsServiceGrpc;
import dev.comanda.v1.CountOrdersRequest;
import dev.comanda.v1.CountOrdersResponse;
import dev.comanda.v1.GetAnalyticsStateRequest;
import dev.comanda.v1.GetAnalyticsStateResponse;
import dev.comanda.v1.ReportCouriersRequest;
import dev.comanda.v1.ReportCouriersResponse;
import dev.comanda.v1.ReportDwellRequest;
import dev.comanda.v1.ReportDwellResponse;
import dev.comanda.v1.ReportRatesRequest;
import dev.comanda.v1.ReportRatesResponse;
import dev.comanda.v1.ReportRevenueRequest;
import dev.comanda.v1.ReportRevenueResponse;

/** AnalyticsService. The whole contract of each call is at its rpc in {@code proto/comanda/v1/analytics_service.proto}. */
public final class Analytics {
  private final Calls calls;

  Analytics(Calls calls) {
    this.calls = calls;
  }

  /** How many orders entered each status, by time and workflow. */
  public CountOrdersResponse countOrders(CountOrdersRequest request) {
    return calls.call(AnalyticsServiceGrpc.getCountOrdersMethod(), request);
  }

  /** How long orders stayed in each status before they left it. */
  public ReportDwellResponse reportDwell(ReportDwellRequest request) {
    return calls.call(AnalyticsServiceGrpc.getReportDwellMethod(), request);
  }

  /** How orders ended, and how well promises were kept. */
  public ReportRatesResponse reportRates(ReportRatesRequest request) {
    return calls.call(AnalyticsServiceGrpc.getReportRatesMethod(), request);
  }

  /** What was sold, by currency. */
  public ReportRevenueResponse reportRevenue(ReportRevenueRequest request) {
    return calls.call(AnalyticsServiceGrpc.getReportRevenueMethod(), request);
  }

  /** What each courier did. */
  public ReportCouriersResponse reportCouriers(ReportCouriersRequest request) {
    return calls.call(AnalyticsServiceGrpc.getReportCouriersMethod(), request);
  }

  /** How far the reports have come, and whether they are being made anew from the history. */
  public GetAnalyticsStateResponse getAnalyticsState(GetAnalyticsStateRequest request) {
    return calls.call(AnalyticsServiceGrpc.getGetAnalyticsStateMethod(), request);
  }
}
