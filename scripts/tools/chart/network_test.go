package chart_test

import (
	"slices"
	"strings"
	"testing"

	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// describeRules returns the rules of a policy as text: ports and peers.
func describeRules(policy *networking.NetworkPolicy) (in, out []string) {
	for _, rule := range policy.Spec.Ingress {
		in = append(in, ports(rule.Ports)+" from "+peers(rule.From))
	}
	for _, rule := range policy.Spec.Egress {
		out = append(out, ports(rule.Ports)+" to "+peers(rule.To))
	}
	return in, out
}

func ports(all []networking.NetworkPolicyPort) string {
	var texts []string
	for _, p := range all {
		texts = append(texts, p.Port.String())
	}
	return strings.Join(slices.Compact(texts), ",")
}

func peers(all []networking.NetworkPolicyPeer) string {
	var texts []string
	for _, peer := range all {
		switch {
		case peer.IPBlock != nil:
			texts = append(texts, peer.IPBlock.CIDR)
		case peer.NamespaceSelector != nil:
			texts = append(texts, "namespace "+meta.FormatLabelSelector(peer.NamespaceSelector))
		default:
			texts = append(texts, "pods "+meta.FormatLabelSelector(peer.PodSelector))
		}
	}
	if len(texts) == 0 {
		return "everywhere"
	}
	return strings.Join(texts, " and ")
}

func TestNetworkPolicy(t *testing.T) {
	const (
		ingress    = "callbacks from namespace kubernetes.io/metadata.name=ingress-nginx"
		private    = "private from pods app.kubernetes.io/name=mediator and namespace kubernetes.io/metadata.name=monitoring"
		names      = "53 to everywhere"
		graph      = "443 to everywhere"
		mediator   = "5000 to pods app.kubernetes.io/name=mediator"
		redis      = "redis to pods app.kubernetes.io/instance=ooo,app.kubernetes.io/name=outlook-monitor-redis"
		ownRedis   = "6379 to everywhere"
		everywhere = "networkPolicy: { ingressController: [], mediator: [], prometheus: [] }\n"
	)
	tests := map[string]struct {
		values  string
		in, out []string
	}{
		"defaults": {app, []string{ingress, private}, []string{names, graph, mediator, redis}},
		"external Redis": {releases["external Redis"].values, []string{ingress, private},
			[]string{names, graph, mediator, "6379,26379 to 10.1.0.0/16"}},
		"managed identity": {releases["managed identity"].values, []string{ingress, private},
			[]string{names, graph, mediator, ownRedis, "80 to 169.254.169.254/32"}},
		"all features": {everything, []string{ingress, private + " and namespace <none>"}, []string{
			"53 to namespace kubernetes.io/metadata.name=kube-system", "443 to 0.0.0.0/0", mediator, redis, "4318 to everywhere"}},
		"no peers": {app + everywhere, nil, []string{names, graph, "5000 to everywhere", redis}},
		"mediator with TLS": {app + "mediator: { url: 'https://mediator.example.com/ooo' }\n" + everywhere, nil,
			[]string{names, graph, "443 to everywhere", redis}},
		"mediator pods with another port": {app + "networkPolicy: { mediatorPort: 8000 }", []string{ingress, private},
			[]string{names, graph, "8000 to pods app.kubernetes.io/name=mediator", redis}},
		"mediator at an IPv6 address": {app + "mediator: { url: 'http://[fd00::1]' }\n" + everywhere, nil,
			[]string{names, graph, "80 to everywhere", redis}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, tt.values)
			in, out := describeRules(get[*networking.NetworkPolicy](t, found, "NetworkPolicy ooo-outlook-monitor"))
			if !slices.Equal(in, tt.in) || !slices.Equal(out, tt.out) {
				t.Errorf("in = %q, out = %q, want %q, %q", in, out, tt.in, tt.out)
			}
		})
	}
	t.Run("Redis", func(t *testing.T) {
		found, _ := rendered(t, app)
		policy := get[*networking.NetworkPolicy](t, found, "NetworkPolicy ooo-outlook-monitor-redis")
		in, out := describeRules(policy)
		want := []string{"redis from pods app.kubernetes.io/instance=ooo,app.kubernetes.io/name=outlook-monitor"}
		if !slices.Equal(in, want) || out != nil || len(policy.Spec.PolicyTypes) != 2 {
			t.Errorf("in = %q, out = %q, types = %v, want %q, no egress, both types", in, out, policy.Spec.PolicyTypes, want)
		}
	})
	t.Run("no policy", func(t *testing.T) {
		found, _ := rendered(t, app+"networkPolicy: { enabled: false }")
		if name := "NetworkPolicy ooo-outlook-monitor"; found[name] != nil {
			t.Errorf("objects = %q, want no %s", found.names(), name)
		}
	})
}
