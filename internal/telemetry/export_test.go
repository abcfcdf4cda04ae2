package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Describe sends the descriptions of the registered metrics, with or without a value.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) { m.registry.Describe(descriptions) }
