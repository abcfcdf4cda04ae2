// Package ui is the operator's page: who is away, whether the mediator knows, and
// what to do about it, in a browser.
//
// # Design
//
// The page is a handful of files inside the binary: no build step, nothing from
// elsewhere, and a Content-Security-Policy that allows nothing else. It asks this
// package for what it shows. What the API has already (a user, its history, the
// buttons) is passed on to the API's own handler, so that page and API never
// disagree; what only a page needs (search at 26,000 users, a feed of all
// replicas, charts) comes from the store.
//
// Who shows MONITOR_TOKEN in the login form gets a cookie that says until when it
// holds, signed with a key derived from the token: every replica knows it, none
// keeps anything, and a new token ends all sessions. The cookie is good for the
// page alone, not for /api.
//
// While nobody has it open, the page costs one command to Redis every 10 s: the beat by
// which the page knows the replicas, with what the process did meanwhile. The charts are
// made of these beats.
package ui
