package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	maxAddresses = 10_000 // in one request
	maxBulk      = MaxBody
)

// result is the outcome of one of many addresses.
type result struct {
	Email  string `json:"email"`
	Result string `json:"result"` // accepted or invalid
	Error  string `json:"error,omitempty"`
}

// startMany takes many addresses at once; the directory is asked later.
func (a *API) startMany(c *gin.Context) {
	var request struct {
		Emails *[]any `json:"emails"`
	}
	if err := readJSON(c, maxBulk, &request); err != nil {
		a.fail(c, err)
		return
	}
	if request.Emails == nil || len(*request.Emails) > maxAddresses {
		refuse(c, http.StatusBadRequest, `write {"emails":["…"]} with at most `+strconv.Itoa(maxAddresses)+" addresses")
		return
	}
	results := make([]result, len(*request.Emails))
	var addresses []string
	for i, value := range *request.Emails {
		text, ok := value.(string)
		if !ok { // named all the same, so that it can be found in the request
			text = fmt.Sprint(value)
		}
		email, err := ooo.ParseAddress(text)
		if err != nil {
			results[i] = result{text, "invalid", err.Error()}
			continue
		}
		results[i] = result{Email: email, Result: "accepted"}
		addresses = append(addresses, email)
	}
	if err := a.startAll(c.Request.Context(), addresses); err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusAccepted, gin.H{"results": results})
}

// startAll has addresses monitored, and leaves those alone that are.
func (a *API) startAll(ctx context.Context, addresses []string) error {
	if !a.cfg.Ready() {
		return errNotReady
	}
	for _, address := range addresses {
		a.stops.forget(ctx, address)
	}
	for range maxSwaps {
		wishes, err := a.cfg.Store.Wishes(ctx, addresses...)
		if err != nil {
			return err
		}
		var changes []store.WishChange
		changing := map[string]bool{} // by folded address: one may be named twice
		for i, old := range wishes {
			if folded := ooo.FoldAddress(addresses[i]); !old.On && !changing[folded] {
				changing[folded] = true
				next := stamp(old, ooo.Wish{Address: addresses[i], On: true, Start: rand.Text()})
				changes = append(changes, store.WishChange{Old: old, New: next, Hint: hint(next, ooo.HintWish)})
			}
		}
		swapped, err := a.cfg.Store.SwapWishes(ctx, changes)
		if err != nil {
			return err
		}
		addresses = addresses[:0:0]
		for i, ok := range swapped {
			if !ok {
				addresses = append(addresses, changes[i].New.Address)
			}
		}
		if len(addresses) == 0 {
			return nil
		}
	}
	return errContended
}
