// Package mediatorsim stands in for the mediator, in the demo and in tests. It
// speaks the old mediator's API, and strictly:
//
//	GET  /              200
//	POST /api/setup     posts every user of its table to the monitor's /monitor,
//	                    one after the other, and only then answers {"result":"True"}
//	POST /api/setstatus takes {"email","status","message"}, three strings and no
//	                    more, of a user that is in its table, spelled as it is there
//
// It records each setstatus and its answer, and misbehaves on request: other or
// late answers, none, or no listener at all.
package mediatorsim
