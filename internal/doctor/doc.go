// Package doctor checks everything that the service needs, before its first
// user or on a bad day, and says of each thing that is wrong what mends it.
//
// # The story
//
// [Run] makes its checks in the order in which things break: first the settings,
// then the ways out (names, TLS, the login), then what the login may do, then the
// way in, then Redis and the mediator. What can't be well because something
// before it is not is skipped, with the reason, and everything else is looked at
// all the same: one run tells of every independent fault.
//
// Each check is asked of the real thing and is harmless. Nobody is monitored,
// nothing is written to Redis, the mediator is neither asked for its users nor
// told a state. Only on demand is a mailbox read, or a subscription made, which is
// deleted again. PUBLIC_URL is asked as Graph would ask it; where the service does
// not run, its own handler answers in its place meanwhile, so that a name, a
// certificate or a tunnel can be proved before anything else is there.
//
// The rooms that know Graph and Redis come in as small interfaces, and what they
// know of faults as data: a fault becomes a [Result] here, in tables from causes
// to remedies.
//
// What is printed holds no secret, no address and no text of a message, so that
// it can be sent to whoever helps.
package doctor
