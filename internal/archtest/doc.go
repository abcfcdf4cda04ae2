// Package archtest checks this repository's conventions: which package may import
// which, where each library may be used, how long files may be, and what the
// manifests, the Dockerfile and the scripts promise.
//
// # Design
//
// packages_test.go holds a table of all packages, in which imports only go down; a
// new package needs a row that lists its imports. The rules about code are in
// rules_test.go. Each is a function from the parsed tree to the violations that it
// finds, so that it can be tried on a small tree as well. The other tests read the
// files of deploy and scripts the way their users do: compose and Kubernetes files
// as YAML, the Dockerfile as instructions, scripts/run on a pseudo-terminal.
package archtest
