package ooo

import "errors"

// ErrBadCursor means that a cursor is not one that a page of users came with.
var ErrBadCursor = errors.New("cursor is not one that a page of users came with: leave it out to begin with the first")
