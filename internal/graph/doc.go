// Package graph talks to Microsoft Graph: it finds people in the directory,
// reads their automatic replies, and makes, renews, lists and deletes
// subscriptions. It is the only room that knows msgraph-sdk-go and azidentity.
//
// # The story
//
// Every request leaves by one door. The door puts on the token, the request id
// and the name of the program, reports how long Graph took, and turns whatever
// Graph refuses into one error with Graph's status and code. A 401 is answered
// with a new token, once. The door never sends a token to another host, never
// follows a redirect, and never waits by itself: the waits that Graph asks for
// are returned as [ooo.Throttled], because they are kept in Redis for all
// replicas. That is also why none of the SDK's own middleware is used. Its retry
// handler would sleep out of sight, and its compression costs more than it saves.
//
// Behind the door are two ways to speak. People and subscriptions go through the
// SDK's request builders and types, from its narrow packages: importing its root
// package doubles the time of a build. Mailboxes are read every two seconds, so
// they are read with a typed struct and encoding/json, a lone one with a GET,
// several with one $batch: an eighth of what the SDK's own batch costs. The SDK
// is no help there anyway, it drops a status spelled in another letter case.
//
// # Subscription writes
//
// While few creations, renewals and deletions are under way, each goes at once and
// by itself. Once twelve calls are in flight, the next wait for one of them to end,
// and those that wait go together in a $batch, spelled and read by the SDK's types.
// Nobody waits for company. Graph works on four of a batch at a time, so four go
// together and cost no time, more of them only when hundreds wait; twelve times
// four are in Graph's hands then, as if each of 48 had gone by itself. A creation
// makes Graph call us, which may take it twenty seconds, so creations, and renewals
// that change the URL, go only with their like and never more than four.
//
// Each write keeps its own outcome: what Graph says inside a batch becomes the
// error that it becomes alone, with its own wait. What Graph says of the batch
// says nothing of the writes in it, so it makes them only wait or try again. A
// caller that leaves takes along a write that waits; a batch ends with its last
// caller. Two writes of one subscription never share a batch, because Graph
// promises no order within.
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
// A wait holds one mailbox if it was asked for in answer to a read of that
// mailbox, alone or inside a $batch, and the whole app otherwise, unless Graph's
// code or message says which it is.
//
// A creation whose answer was lost carries [ooo.ErrNoAnswer], unless it never
// left. In a batch that is so for each creation whose answer is missing.
package graph
