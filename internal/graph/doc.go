// Package graph talks to Microsoft Graph: it finds people in the directory,
// reads their automatic replies, and creates, renews, lists and deletes
// subscriptions. It is the only package that knows msgraph-sdk-go and azidentity.
//
// # Requests
//
// Every request goes through [transport], an http.RoundTripper. It adds the token
// and the request id, reports how long Graph took, and turns every answer but a 2xx
// into an error. It never sends a token to another host, never follows a redirect,
// and never waits by itself: the waits that Graph asks for are returned as
// [ooo.Throttled], because all replicas have to keep them. That is also why none of
// the SDK's own middleware is used.
//
// People and subscriptions go through the SDK's request builders and types, from its
// narrow packages: importing its root package doubles the time of a build. Mailboxes
// are read every two seconds, so they are read without the SDK, a single one with a
// GET, several with one $batch: an eighth of what the SDK's own
// batch costs. The SDK also drops a status that is spelled in another letter case.
//
// # Tokens
//
// [Client.Run] fetches a token when a third of the life of the current one is left,
// so that the login endpoint may be away for twenty minutes of each hour before a
// read fails. Each login makes a new credential, because an old one would return its
// cached token, and so that a replaced certificate file is read. Only the library for
// managed identities caches for the whole process: it is asked again until it returns
// a new token, shortly before the old one ends. Without Run a token is fetched when
// the current one has run out. After a failed login all callers get its error until
// the next try is due. [TokenSource] does the same for a service that is not Graph.
//
// # Errors
//
// What Graph answers becomes one of the errors of package ooo, wrapped around status
// and code, never around bodies, addresses or tokens. The table in errors.go says
// which. Every method may return [ooo.Throttled], [ooo.ErrUnauthorized],
// [ooo.ErrRejected] and [ooo.ErrUnavailable]; its comment names the others. A 404
// counts only with Graph's code in it: a proxy's page says nothing about a mailbox.
package graph
