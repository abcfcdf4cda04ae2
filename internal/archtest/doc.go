// Package archtest holds what is agreed about this repository as tests: which
// package may import which, which library is known where, how files are cut, and
// what the manifests, the container and the scripts promise.
//
// # Design
//
// The packages are a table in packages_test.go, in which imports go down. A new
// package is a new row that lists what it may import. Rules about code are in rules_test.go,
// each a function from the parsed tree to the places that break it, so that each
// is tried on a small tree that breaks it too. The rest reads the files of
// deploy and scripts as their users do: compose and Kubernetes as YAML, the
// Dockerfile as instructions, scripts/run on a real terminal.
package archtest
