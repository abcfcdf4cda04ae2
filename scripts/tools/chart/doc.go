// Package chart tests the Helm chart in deploy/helm, and the plain manifests in
// deploy/kubernetes.
//
// # Design
//
// Helm's engine renders the chart for several sets of values and checks the values
// against the schema. Each manifest is decoded strictly into the Kubernetes API type of
// its kind, so that misspelled and misplaced fields are found without a cluster, and its
// contents are checked. This is a separate module, so that neither the program nor the
// linters depend on Helm and the Kubernetes API.
package chart
