//go:build race

package main_test

// raceFlags build the program with the race detector when its tests have it.
var raceFlags = []string{"-race"}
