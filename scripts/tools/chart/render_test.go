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

// top is the root of the repository.
const top = "../../.."

// namespace is the namespace of the release.
const namespace = "voice"

// objects are decoded manifests by kind and name, such as "Service ooo-private".
type objects map[string]meta.Object

// kinds maps the kinds that manifests may have to their types.
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
			continue // only comments
		}
		make, ok := kinds[head.APIVersion+" "+head.Kind]
		if !ok {
			return fmt.Errorf("unexpected kind %s %s", head.APIVersion, head.Kind)
		}
		object := make()
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			return fmt.Errorf("%s: %w", head.Kind, err)
		}
		name := head.Kind + " " + object.GetName()
		if o[name] != nil {
			return fmt.Errorf("duplicate %s", name)
		}
		o[name] = object
	}
	return nil
}

// names lists the names of the objects.
func (o objects) names() []string { return slices.Sorted(maps.Keys(o)) }

// get returns an object.
func get[T meta.Object](t *testing.T, o objects, name string) T {
	t.Helper()
	object, ok := o[name].(T)
	if !ok {
		t.Fatalf("objects = %q, want %q", o.names(), name)
	}
	return object
}

// render does what helm install does before it contacts a cluster, for a release named
// ooo. It also returns the notes.
func render(values ...string) (objects, string, error) {
	log.SetOutput(io.Discard) // the loader logs the symbolic link to the rules
	c, err := loader.Load(filepath.Join(top, "deploy/helm/outlook-monitor"))
	if err != nil {
		return nil, "", err
	}
	given := map[string]any{}
	for _, text := range values { // earlier ones take precedence
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

// rendered is like render with the required values, and fails the test on errors.
func rendered(t *testing.T, values string) (objects, string) {
	t.Helper()
	found, notes, err := render(values, needed)
	noError(t, err)
	return found, notes
}

const needed = `
image: { repository: registry.example.com/outlook-monitor, tag: 2.3.4 }
mediator: { url: "http://mediator.voice:5000" }
`

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, file))
	noError(t, err)
	return string(text)
}

// noError ends the test if there is an error.
func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
