// Package ui is the operator's web page: who is out of office, whether the mediator knows,
// and what to do about it.
//
// # Design
//
// The page is a few files embedded in the binary. It has no build step and loads nothing
// from other servers; its Content-Security-Policy forbids that. Requests that the API can
// answer (a user, its history, the buttons) are passed on to the API's handler, and the list
// shows users as the API does, so that page and API never disagree. Data that only the page
// needs (search over 26,000 users, the feed of all replicas, charts) comes from the store.
//
// An operator who enters MONITOR_TOKEN in the login form gets a cookie with its expiry,
// signed with a key derived from the token. So every replica can check it, none stores
// sessions, and a new token ends all sessions. The cookie is valid only for the page, not
// for /api.
//
// While nobody has the page open, it costs one request to Redis every 10 s: the report by
// which the page knows the replicas, with what the process did since the last one. The
// charts are made from these reports.
package ui
