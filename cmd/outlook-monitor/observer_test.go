package main

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/ui"
)

// TestObserverCounts names every label of each series, so that a label per user would fail it.
func TestObserverCounts(t *testing.T) {
	o := &observer{metrics: telemetry.NewMetrics(telemetry.BuildInfo{}), meter: ui.NewMeter()}
	err := errors.New("Graph no longer has subscription 7f3a of ann@contoso.example")
	o.read("same", time.Millisecond)
	o.changed(poll.Change{Source: ooo.SourcePoll})
	o.changed(poll.Change{Source: ooo.SourceNotification, Took: time.Second, Lead: time.Second})
	o.announcedLate(time.Minute)
	o.notified("accepted", 3)
	o.graphAnswered("read", 200, 20*time.Millisecond)
	o.graphAnswered("read", 0, 30*time.Second)
	o.stepped(subscribe.Step{Action: subscribe.Create, Reason: "not covered yet"}, nil)
	o.stepped(subscribe.Step{Action: "renew", Reason: "expires soon"}, err)
	o.swept(subscribe.SweepResult{Foreign: 2})
	o.attempted(ooo.DeliveryDelivered, ooo.SourcePoll, time.Second, 2*time.Second)
	o.attempted(ooo.DeliveryRefused, ooo.SourcePoll, time.Second, time.Hour)
	o.synced(err)
	o.redisAnswered("evalsha", time.Millisecond, nil)
	o.refused(429)
	o.answered(4 * time.Second)
	o.damaged("record")
	o.unknownHint(ooo.HintRead)
	o.partitionChanged("acquired")
	o.presenceSwept(2, 1)
	answer := httptest.NewRecorder()
	o.metrics.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for series, present := range map[string]bool{
		`reads_total{outcome="same"} 1`:                                                     true,
		`read_lag_seconds_sum 0.001`:                                                        true,
		`changes_total{source="poll"} 1`:                                                    true,
		`changes_total{source="notification"} 1`:                                            true,
		`detection_seconds_count{source="poll"} 1`:                                          false, // polls have no hint
		`detection_seconds_sum{source="notification"} 1`:                                    true,
		`push_changes_total{announced="first"} 1`:                                           true,
		`push_changes_total{announced="late"} 1`:                                            true,
		`push_lead_seconds_sum 1`:                                                           true,
		`push_late_seconds_sum 60`:                                                          true,
		`notifications_total{verdict="accepted"} 3`:                                         true,
		`notification_answer_seconds_sum 4`:                                                 true,
		`refused_requests_total{status="429"} 1`:                                            true,
		`graph_requests_total{operation="read",status="200"} 1`:                             true,
		`graph_requests_total{operation="read",status="none"} 1`:                            true,
		`graph_request_seconds_count{operation="read"} 2`:                                   true,
		`subscription_steps_total{action="create",outcome="ok",reason="not covered yet"} 1`: true,
		`subscription_steps_total{action="renew",outcome="failed",reason="expires soon"} 1`: true,
		`swept_subscriptions_total{found="foreign"} 2`:                                      true,
		`deliveries_total{outcome="delivered"} 1`:                                           true,
		`deliveries_total{outcome="refused"} 1`:                                             true,
		`delivery_attempt_seconds_count 2`:                                                  true,
		`delivery_seconds_sum{source="poll"} 2`:                                             true, // only acknowledged ones
		`mediator_syncs_total{outcome="failed"} 1`:                                          true,
		`redis_commands_total{command="evalsha",outcome="ok"} 1`:                            true,
		`redis_command_seconds_sum{command="evalsha"} 0.001`:                                true,
		`damaged_entries_total{kind="record"} 1`:                                            true,
		`unknown_hints_total{kind="read"} 1`:                                                true,
		`partition_changes_total{change="acquired"} 1`:                                      true,
		`presence_calls_total 2`:                                                            true,
		`presence_hinted_total 1`:                                                           true,
	} {
		if strings.Contains(answer.Body.String(), "\noutlook_monitor_"+series+"\n") != present {
			t.Errorf("%s is in the metrics: %t, want %t", series, !present, present)
		}
	}
}
