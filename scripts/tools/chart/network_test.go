package chart_test

import (
	"fmt"
	"testing"

	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

// checkPolicy compares the rules of a policy with rules in YAML. Its selector is checked
// by TestObjectsFitTogether.
func checkPolicy(t *testing.T, policy *networking.NetworkPolicy, in, out string) {
	t.Helper()
	want := networking.NetworkPolicySpec{PodSelector: policy.Spec.PodSelector}
	text := fmt.Sprintf("{ policyTypes: [Ingress, Egress], ingress: [%s], egress: [%s] }", in, out)
	noError(t, yaml.UnmarshalStrict([]byte(text), &want))
	if !equality.Semantic.DeepEqual(policy.Spec, want) {
		t.Errorf("policy = %v, want %v", policy.Spec, want)
	}
}

func TestNetworkPolicy(t *testing.T) {
	const (
		toMediator = "{ podSelector: { matchLabels: { app.kubernetes.io/name: mediator } } }"
		scraper    = "{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }"
		resolver   = "{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } } }"
		redisPods  = "{ podSelector: { matchLabels: { app.kubernetes.io/instance: ooo, app.kubernetes.io/name: outlook-monitor-redis } } }"

		ingress = "{ ports: [{ port: callbacks }], from: [" +
			"{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ingress-nginx } } }] }"
		private    = "{ ports: [{ port: private }], from: [" + toMediator + ", " + scraper + "] }"
		names      = "{ ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }] }, "
		graph      = "{ ports: [{ port: 443 }] }, "
		mediator   = "{ ports: [{ port: 5000 }], to: [" + toMediator + "] }, "
		redis      = "{ ports: [{ port: redis }], to: [" + redisPods + "] }"
		everywhere = "networkPolicy: { ingressController: [], mediator: [], prometheus: [] }\n"
	)
	for name, tt := range map[string]struct{ values, in, out string }{
		"defaults": {app, ingress + ", " + private, names + graph + mediator + redis},
		"external Redis": {releases["external Redis"].values, ingress + ", " + private,
			names + graph + mediator + "{ ports: [{ port: 6379 }, { port: 26379 }], to: [{ ipBlock: { cidr: 10.1.0.0/16 } }] }"},
		"managed identity": {releases["managed identity"].values, ingress + ", " + private,
			names + graph + mediator + "{ ports: [{ port: 6379 }] }, { ports: [{ port: 80 }], to: [{ ipBlock: { cidr: 169.254.169.254/32 } }] }"},
		"all features": {everything,
			ingress + ", { ports: [{ port: private }], from: [" + toMediator + ", " + scraper + ", { namespaceSelector: {} }] }",
			"{ ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }], to: [" + resolver + "] }, " +
				"{ ports: [{ port: 443 }], to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.0.0.0/8] } }] }, " +
				mediator + redis + ", { ports: [{ port: 4318 }] }"},
		"no peers": {app + everywhere, "", names + graph + "{ ports: [{ port: 5000 }] }, " + redis},
		"mediator with TLS": {app + "mediator: { url: 'https://mediator.example.com/ooo' }\n" + everywhere, "",
			names + graph + graph + redis},
		"mediator at an IPv6 address": {app + "mediator: { url: 'http://[fd00::1]' }\n" + everywhere, "",
			names + graph + "{ ports: [{ port: 80 }] }, " + redis},
		"mediator pods with another port": {app + "networkPolicy: { mediatorPort: 8000 }", ingress + ", " + private,
			names + graph + "{ ports: [{ port: 8000 }], to: [" + toMediator + "] }, " + redis},
	} {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, tt.values)
			checkPolicy(t, get[*networking.NetworkPolicy](t, found, "NetworkPolicy ooo-outlook-monitor"), tt.in, tt.out)
		})
	}
	t.Run("Redis", func(t *testing.T) {
		found, _ := rendered(t, app)
		in := "{ ports: [{ port: redis }], from: [{ podSelector: { matchLabels: " +
			"{ app.kubernetes.io/instance: ooo, app.kubernetes.io/name: outlook-monitor } } }] }"
		checkPolicy(t, get[*networking.NetworkPolicy](t, found, "NetworkPolicy ooo-outlook-monitor-redis"), in, "")
	})
	t.Run("no policy", func(t *testing.T) {
		found, _ := rendered(t, app+"networkPolicy: { enabled: false }")
		if name := "NetworkPolicy ooo-outlook-monitor"; found[name] != nil {
			t.Errorf("objects = %q, want no %s", found.names(), name)
		}
	})
}
