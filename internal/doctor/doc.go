// Package doctor checks everything that the service needs, and says of each thing
// that is wrong what to do about it.
//
// [Run] goes through one table of checks, in the order in which things break:
// settings, the way out (names, TLS, login), what the login may do, the way in, Redis,
// the mediator. A check that depends on a failed one is skipped with the reason; all
// others are made, so one run reports every independent fault.
//
// Each check asks the real thing and is harmless: nobody is monitored, nothing is
// written to Redis, the mediator receives no state. A mailbox is read, or a
// subscription created and deleted, only on request. PUBLIC_URL is called as Graph calls
// it; while the service does not run, its own handler answers at LISTEN_ADDR.
//
// What can be known is asked of the packages that know it: settings of config, logins
// and certificates of graph, what Redis refuses of store. Here are the remedies.
//
// The results hold no secret, no address and no message text, so they may be sent to
// whoever helps.
package doctor
