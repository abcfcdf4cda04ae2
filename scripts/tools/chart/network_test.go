package chart_test

import (
	"slices"
	"strings"
	"testing"

	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// paths writes a policy's rules as one would say them: ports and who is at the
// other end.
func paths(policy *networking.NetworkPolicy) (in, out []string) {
	for _, rule := range policy.Spec.Ingress {
		in = append(in, ports(rule.Ports)+" from "+peers(rule.From))
	}
	for _, rule := range policy.Spec.Egress {
		out = append(out, ports(rule.Ports)+" to "+peers(rule.To))
	}
	return in, out
}

func ports(all []networking.NetworkPolicyPort) string {
	var said []string
	for _, p := range all {
		said = append(said, p.Port.String())
	}
	return strings.Join(slices.Compact(said), ",")
}

func peers(all []networking.NetworkPolicyPeer) string {
	var said []string
	for _, peer := range all {
		switch {
		case peer.IPBlock != nil:
			said = append(said, peer.IPBlock.CIDR)
		case peer.NamespaceSelector != nil:
			said = append(said, "namespace "+meta.FormatLabelSelector(peer.NamespaceSelector))
		default:
			said = append(said, "pods "+meta.FormatLabelSelector(peer.PodSelector))
		}
	}
	if len(said) == 0 {
		return "everywhere"
	}
	return strings.Join(said, " and ")
}

func TestWhoMaySpeakToWhom(t *testing.T) {
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
		"what the chart has by itself": {app, []string{ingress, private}, []string{names, graph, mediator, redis}},
		"a Redis of one's own": {releases["a Redis of one's own"].values, []string{ingress, private},
			[]string{names, graph, mediator, "6379,26379 to 10.1.0.0/16"}},
		"a managed identity": {releases["a managed identity"].values, []string{ingress, private},
			[]string{names, graph, mediator, ownRedis, "80 to 169.254.169.254/32"}},
		"everything on": {everything, []string{ingress, private + " and namespace <none>"}, []string{
			"53 to namespace kubernetes.io/metadata.name=kube-system", "443 to 0.0.0.0/0", mediator, redis, "4318 to everywhere"}},
		"nobody is named": {app + everywhere, nil, []string{names, graph, "5000 to everywhere", redis}},
		"a mediator with TLS": {app + "mediator: { url: 'https://mediator.example.com/ooo' }\n" + everywhere, nil,
			[]string{names, graph, "443 to everywhere", redis}},
		"a mediator whose pods listen elsewhere": {app + "networkPolicy: { mediatorPort: 8000 }", []string{ingress, private},
			[]string{names, graph, "8000 to pods app.kubernetes.io/name=mediator", redis}},
		"a mediator at an IPv6 address": {app + "mediator: { url: 'http://[fd00::1]' }\n" + everywhere, nil,
			[]string{names, graph, "80 to everywhere", redis}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, tt.values)
			in, out := paths(get[*networking.NetworkPolicy](t, found, "NetworkPolicy ooo-outlook-monitor"))
			if !slices.Equal(in, tt.in) || !slices.Equal(out, tt.out) {
				t.Errorf("in = %q, out = %q, want %q, %q", in, out, tt.in, tt.out)
			}
		})
	}
	t.Run("Redis", func(t *testing.T) {
		found, _ := rendered(t, app)
		policy := get[*networking.NetworkPolicy](t, found, "NetworkPolicy ooo-outlook-monitor-redis")
		in, out := paths(policy)
		want := []string{"redis from pods app.kubernetes.io/instance=ooo,app.kubernetes.io/name=outlook-monitor"}
		if !slices.Equal(in, want) || out != nil || len(policy.Spec.PolicyTypes) != 2 {
			t.Errorf("in = %q, out = %q, types = %v, want %q, nothing out, both", in, out, policy.Spec.PolicyTypes, want)
		}
	})
	t.Run("no policy", func(t *testing.T) {
		found, _ := rendered(t, app+"networkPolicy: { enabled: false }")
		if name := "NetworkPolicy ooo-outlook-monitor"; found[name] != nil {
			t.Errorf("objects = %q, want no %s", found.names(), name)
		}
	})
}
