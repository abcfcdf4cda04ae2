// Package chart tests the Helm chart in deploy/helm, and the plain manifests in
// deploy/kubernetes.
//
// # Design
//
// The chart is rendered as Helm does it, by Helm's own engine with the values
// checked against the chart's schema, for several sets of values. Each manifest
// that comes out is decoded strictly into the Kubernetes API type of its kind, so
// that a field that is misspelled or in the wrong place is found without a
// cluster; then its contents are looked at. It is a module of its own, so that
// neither the program nor the linters need Helm and the Kubernetes API.
package chart
