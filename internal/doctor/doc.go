// Package doctor checks everything that the service needs, and gives a remedy for each
// problem.
//
// [Run] goes through one table of checks, from the settings outwards: settings, outgoing
// connections (DNS, TLS, login), permissions, incoming connections, Redis, the mediator. A
// check that depends on a failed one is skipped with the reason. All others run, so one run
// reports every independent problem.
//
// Each check calls the real system and is harmless: no user is monitored, nothing is written
// to Redis, the mediator receives no state. A mailbox is read, or a subscription created and
// deleted, only on request. PUBLIC_URL is called as Graph calls it; while the service does
// not run, the doctor serves LISTEN_ADDR with the service's handler.
//
// Other packages detect the problems: config those of settings, graph those of logins and
// certificates, store those of Redis. This package has the remedies.
//
// The results contain no secret, no email address and no message text, so they can be shared.
package doctor
