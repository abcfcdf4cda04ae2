// Package graph talks to Microsoft Graph: it finds users in the directory, reads their
// automatic replies, and creates, renews, lists and deletes subscriptions. It is the only
// package that knows msgraph-sdk-go and azidentity.
//
// # Requests
//
// Every request goes through [transport], an http.RoundTripper. It adds the token and the
// request id, reports how long Graph took, and turns every answer except a 2xx into an
// error. It never sends a token to another host, never follows a redirect, and never
// waits: the waits that Graph asks for are returned as [ooo.Throttled], because all
// replicas must observe them. For the same reason none of the SDK's middleware is used.
//
// The directory and subscriptions are accessed through the SDK's request builders and
// types, imported from its narrow packages: importing the root package doubles the build
// time. Mailboxes are read every two seconds, so they are read without the SDK: a single
// one with a GET, several with one $batch, which costs an eighth of the SDK's own batch.
// The SDK also drops a status that is spelled in another letter case.
//
// # Tokens
//
// [Client.Run] fetches a new token when a third of the current one's lifetime is left, so
// the login endpoint may be down for twenty minutes of each hour before a read fails.
// Each login creates a new credential, because an existing one would return its cached
// token, and so that a replaced certificate file is read. Only the library for managed
// identities caches per process: it is asked repeatedly until it returns a new token,
// shortly before the old one expires. Without Run, a token is fetched when the current one
// has expired. After a failed login all callers get its error until the next attempt is
// due. [TokenSource] does the same for a service other than Graph.
//
// # Errors
//
// Graph's error answers become errors of package ooo, wrapped around the status and code,
// never around bodies, addresses or tokens: see the table in errors.go. Every method may
// return [ooo.Throttled], [ooo.ErrUnauthorized], [ooo.ErrRejected] and
// [ooo.ErrUnavailable]; its comment names the others. A body of another form than Graph's
// is a proxy's, which says nothing about a mailbox or a subscription. Graph's code may be
// missing, but only a 404 with a code may take a mailbox from its addresses.
package graph
