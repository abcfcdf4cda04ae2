package chart_test

import (
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// top is the top of the repository.
const top = "../../.."

// namespace is where the release goes.
const namespace = "voice"

// objects are decoded manifests by kind and name, such as "Service ooo-private".
type objects map[string]meta.Object

// kinds are those that manifests may be of.
var kinds = map[string]func() meta.Object{
	"apps/v1 Deployment":                      func() meta.Object { return new(apps.Deployment) },
	"apps/v1 StatefulSet":                     func() meta.Object { return new(apps.StatefulSet) },
	"autoscaling/v2 HorizontalPodAutoscaler":  func() meta.Object { return new(autoscaling.HorizontalPodAutoscaler) },
	"monitoring.coreos.com/v1 PrometheusRule": func() meta.Object { return new(monitoring.PrometheusRule) },
	"monitoring.coreos.com/v1 ServiceMonitor": func() meta.Object { return new(monitoring.ServiceMonitor) },
	"networking.k8s.io/v1 Ingress":            func() meta.Object { return new(networking.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":      func() meta.Object { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":           func() meta.Object { return new(policy.PodDisruptionBudget) },
	"v1 Service":                              func() meta.Object { return new(core.Service) },
	"v1 ServiceAccount":                       func() meta.Object { return new(core.ServiceAccount) },
}

// decode adds the manifests of a file.
func (o objects) decode(text string) error {
	for document := range strings.SplitSeq("\n"+text, "\n---") {
		var head meta.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			return err
		}
		if head == (meta.TypeMeta{}) {
			continue // comments alone
		}
		make, ok := kinds[head.APIVersion+" "+head.Kind]
		if !ok {
			return fmt.Errorf("%s %s is no kind that is expected", head.APIVersion, head.Kind)
		}
		object := make()
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			return fmt.Errorf("%s: %w", head.Kind, err)
		}
		name := head.Kind + " " + object.GetName()
		if o[name] != nil {
			return fmt.Errorf("there are two of %s", name)
		}
		o[name] = object
	}
	return nil
}

// names lists the objects.
func (o objects) names() []string { return slices.Sorted(maps.Keys(o)) }

// get returns an object.
func get[T meta.Object](t *testing.T, o objects, name string) T {
	t.Helper()
	object, ok := o[name].(T)
	if !ok {
		t.Fatalf("objects = %q, want one called %q", o.names(), name)
	}
	return object
}

// render does what helm install does before it talks to a cluster. The release is
// called ooo; the
// notes are returned too.
func render(values ...string) (objects, string, error) {
	log.SetOutput(io.Discard) // the loader tells of the link to the rules
	c, err := loader.Load(filepath.Join(top, "deploy/helm/outlook-monitor"))
	if err != nil {
		return nil, "", err
	}
	given := map[string]any{}
	for _, text := range values { // the first to name a value has the say
		more, err := chartutil.ReadValues([]byte(text))
		if err != nil {
			return nil, "", err
		}
		given = chartutil.CoalesceTables(given, more)
	}
	release := chartutil.ReleaseOptions{Name: "ooo", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, "", err
	}
	found, notes := objects{}, ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Base(name) == "NOTES.txt" {
			notes = files[name]
			continue
		}
		if err := found.decode(files[name]); err != nil {
			return nil, "", fmt.Errorf("%s: %w\n%s", name, err, files[name])
		}
	}
	return found, notes, nil
}

// rendered is render that must work, with what every release needs.
func rendered(t *testing.T, values string) (objects, string) {
	t.Helper()
	found, notes, err := render(values, needed)
	if err != nil {
		t.Fatal(err)
	}
	return found, notes
}

const needed = `
image: { repository: registry.example.com/outlook-monitor, tag: 2.3.4 }
mediator: { url: "http://mediator.voice:5000" }
`

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
