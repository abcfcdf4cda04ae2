// Package graph talks to Microsoft Graph: it finds people in the directory,
// reads their automatic replies, and makes, renews, lists and deletes
// subscriptions. It is the only package that knows msgraph-sdk-go and azidentity.
//
// # Requests
//
// Every request goes through one round tripper. It adds the token, the request id
// and the name of the program, reports how long Graph took, and turns whatever
// Graph refuses into one error with Graph's status and code. A 401 is answered
// with a new token, once, unless it is Exchange's. It never sends a token to another
// host, never follows a redirect, and never waits by itself: the waits that Graph
// asks for are returned as [ooo.Throttled], because all replicas have to keep them.
// That is also why none of the SDK's own middleware is used. Its retry handler would
// sleep out of sight, and its compression costs more than it saves.
//
// People and subscriptions go through the SDK's request builders and types, from its
// narrow packages: importing its root package doubles the time of a build. Mailboxes
// are read every two seconds, so they are read with a typed struct and encoding/json,
// a single one with a GET, several with one $batch: an eighth of what the SDK's own
// batch costs. The SDK is no help there anyway, it drops a status spelled in another
// letter case.
//
// # Subscriptions
//
// Each creation, renewal and deletion is a call of its own, 48 at most at a time. A
// creation whose answer was lost carries [ooo.ErrNoAnswer], unless it never left.
//
// A list of subscriptions proves what is there, never what is not: Graph has answered
// with empty and repeated pages for hours. It is read page by page, at the pace of the
// caller, who may wait and go on after an error.
//
// # Tokens
//
// [Client.Run] fetches a token when a third of the life of the one at hand is
// left, so that the login endpoint may be away for twenty minutes of each hour
// before a read fails. A credential is made for each fetch and lives no longer:
// what it would cache is the token that is to be replaced, and a certificate
// file that was exchanged is read anew. The library for managed identities caches
// for the whole process all the same: it is asked again and again until it gives
// out a new one, shortly before the old one ends. Without Run the client works
// too; it then fetches when the token at hand has run out. After a failed login
// all callers get its error, without asking, until the next try is due.
//
// # Errors
//
// What Graph answers becomes one of the errors of package ooo, wrapped around
// its status and code, never around bodies, addresses or tokens. Which becomes
// which stands in tables in translate.go. A 404 counts as Graph's only with
// Graph's code in it: a proxy's page says nothing about a mailbox.
//
// Exchange's refusals come as an ExtensionError whose message holds the status that
// counts. Only of these is the reason shown, without what may be an address.
//
// A wait holds one mailbox if it was asked for in answer to a read of that
// mailbox, alone or inside a $batch, and the whole app otherwise, unless Graph's
// code or message says which it is.
package graph
