package chart_test

import (
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// trees returns the objects of each release and of the plain manifests.
func trees(t *testing.T) map[string]objects {
	t.Helper()
	all := map[string]objects{"plain manifests": {}}
	for _, file := range []string{"outlook-monitor.yaml", "redis.yaml"} {
		if err := all["plain manifests"].decode(read(t, "deploy/kubernetes/"+file)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	for name, release := range releases {
		all[name], _ = rendered(t, release.values)
	}
	return all
}

// pods returns the pod templates by the name of their object.
func (o objects) pods() map[string]core.PodTemplateSpec {
	all := map[string]core.PodTemplateSpec{}
	for name, object := range o {
		switch object := object.(type) {
		case *apps.Deployment:
			all[name] = object.Spec.Template
		case *apps.StatefulSet:
			all[name] = object.Spec.Template
		}
	}
	return all
}

// selected returns the only pod template that a selector matches.
func (o objects) selected(t *testing.T, selector meta.LabelSelector) core.PodTemplateSpec {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(&selector)
	noError(t, err)
	var found []core.PodTemplateSpec
	for _, pod := range o.pods() {
		if s.Matches(labels.Set(pod.Labels)) {
			found = append(found, pod)
		}
	}
	if len(found) != 1 || s.Empty() {
		t.Fatalf("selector %q matches %d pod templates, want 1", s, len(found))
	}
	return found[0]
}

func TestPods(t *testing.T) {
	for tree, all := range trees(t) {
		for name, pod := range all.pods() {
			t.Run(tree+": "+name, func(t *testing.T) {
				spec := pod.Spec
				if token := spec.AutomountServiceAccountToken; token == nil || *token {
					t.Error("the pod mounts a service account token")
				}
				security := spec.SecurityContext
				if security.RunAsNonRoot == nil || !*security.RunAsNonRoot || security.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
					t.Errorf("securityContext = %v, want runAsNonRoot and RuntimeDefault", security)
				}
				if n := len(spec.Containers); n != 1 {
					t.Fatalf("containers = %d, want 1", n)
				}
				c := spec.Containers[0]
				own := c.SecurityContext
				if !*own.ReadOnlyRootFilesystem || *own.AllowPrivilegeEscalation || !slices.Equal(own.Capabilities.Drop, []core.Capability{"ALL"}) {
					t.Errorf("securityContext of %s = %v, want a read-only root file system and no capabilities", c.Name, own)
				}
				for path, probe := range map[string]*core.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
					if probe == nil {
						t.Errorf("%s lacks a probe", c.Name)
					} else if get := probe.HTTPGet; get != nil { // Redis has a command instead
						if checkPort(t, pod, get.Port); get.Path != path || get.Port.StrVal != "private" {
							t.Errorf("probe of %s = %v, want %s on the private port", c.Name, get, path)
						}
					}
				}
				if _, ok := c.Resources.Limits[core.ResourceMemory]; !ok {
					t.Errorf("%s has no memory limit", c.Name)
				}
				var volumes, mounts []string
				for _, v := range spec.Volumes {
					volumes = append(volumes, v.Name)
				}
				if set, ok := all[name].(*apps.StatefulSet); ok {
					for _, claim := range set.Spec.VolumeClaimTemplates {
						volumes = append(volumes, claim.Name)
					}
				}
				for _, m := range c.VolumeMounts {
					mounts = append(mounts, m.Name)
				}
				slices.Sort(volumes)
				slices.Sort(mounts)
				if !slices.Equal(volumes, mounts) {
					t.Errorf("volumes = %q, mounts = %q, want each mounted", volumes, mounts)
				}
			})
		}
	}
}

// TestObjectsFitTogether validates names and labels like the cluster, and follows each
// selector and each reference to an object.
func TestObjectsFitTogether(t *testing.T) {
	for tree, all := range trees(t) {
		for name, object := range all {
			t.Run(tree+": "+name, func(t *testing.T) {
				invalid := validation.IsDNS1123Label(object.GetName())
				for key, value := range object.GetLabels() {
					invalid = slices.Concat(invalid, validation.IsQualifiedName(key), validation.IsValidLabelValue(value))
				}
				if len(invalid) > 0 {
					t.Errorf("name or labels: %s", strings.Join(invalid, ", "))
				}
				switch object := object.(type) {
				case *apps.Deployment:
					all.selected(t, *object.Spec.Selector)
					for _, spread := range object.Spec.Template.Spec.TopologySpreadConstraints {
						all.selected(t, *spread.LabelSelector)
					}
				case *apps.StatefulSet:
					all.selected(t, *object.Spec.Selector)
					get[*core.Service](t, all, "Service "+object.Spec.ServiceName)
				case *core.Service:
					pod := all.selected(t, meta.LabelSelector{MatchLabels: object.Spec.Selector})
					for _, port := range object.Spec.Ports {
						checkPort(t, pod, port.TargetPort)
					}
				case *policy.PodDisruptionBudget:
					all.selected(t, *object.Spec.Selector)
				case *networking.NetworkPolicy:
					pod := all.selected(t, object.Spec.PodSelector)
					for _, rule := range object.Spec.Ingress {
						for _, port := range rule.Ports {
							checkPort(t, pod, *port.Port)
						}
					}
				case *networking.Ingress:
					for _, path := range object.Spec.Rules[0].HTTP.Paths {
						service := get[*core.Service](t, all, "Service "+path.Backend.Service.Name)
						if got := service.Spec.Ports[0].Name; got != path.Backend.Service.Port.Name {
							t.Errorf("port of %s = %q, want %q", service.Name, got, path.Backend.Service.Port.Name)
						}
					}
				case *autoscaling.HorizontalPodAutoscaler:
					get[*apps.Deployment](t, all, object.Spec.ScaleTargetRef.Kind+" "+object.Spec.ScaleTargetRef.Name)
				case *monitoring.ServiceMonitor:
					if got := all.services(object.Spec.Selector.MatchLabels, object.Spec.Endpoints[0].Port); got != "ooo-outlook-monitor-private" {
						t.Errorf("services = %q, want only the private one", got)
					}
				}
			})
		}
	}
}

// checkPort checks that a pod has a port.
func checkPort(t *testing.T, pod core.PodTemplateSpec, port intstr.IntOrString) {
	t.Helper()
	for _, p := range pod.Spec.Containers[0].Ports {
		if port.StrVal == p.Name || port.StrVal == "" && port.IntVal == p.ContainerPort {
			return
		}
	}
	t.Errorf("the pod has no port %s", port.String())
}

// services names the services with the labels and the port.
func (o objects) services(selector map[string]string, port string) string {
	var found []string
	for _, object := range o {
		service, ok := object.(*core.Service)
		if ok && labels.SelectorFromSet(selector).Matches(labels.Set(service.Labels)) &&
			slices.ContainsFunc(service.Spec.Ports, func(p core.ServicePort) bool { return p.Name == port }) {
			found = append(found, service.Name)
		}
	}
	return strings.Join(found, " ")
}
