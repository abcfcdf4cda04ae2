// Package mediatorsim stands in for the mediator in the demo and in tests. It implements
// the mediator's API strictly:
//
//	GET  /              200
//	POST /api/setup     posts each of its users to /monitor of the monitor, one after the
//	                    other, and only then answers {"result":"True"}
//	POST /api/setstatus accepts {"email","status","message"}, exactly three strings, for
//	                    one of its users, in the spelling that it has
//
// It records each setstatus call and its answer, and misbehaves on request: other or late
// answers, no answer, or no listener.
package mediatorsim
