package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"outlook-monitor/internal/ooo"
)

// userFields are the requested properties of a directory user.
var userFields = []string{"id", "userPrincipalName", "displayName"}

// Find returns the user with an address: a user principal name, a mail address, or one of
// the proxy addresses. It returns [ooo.ErrNotInDirectory], [ooo.ErrAmbiguous] or
// [ooo.ErrDenied] if it can't.
//
// A path may name a user only by user principal name or object id, so the other addresses
// are searched for with a filter.
func (c *Client) Find(ctx context.Context, address string) (ooo.Person, error) {
	ctx, cancel := withOperation(ctx, opDirectory, directoryTimeout)
	defer cancel()
	if possibleUPN.MatchString(address) {
		person, err := c.get(ctx, address)
		// A rejected name may still be a mail address.
		if notFound(err) == nil && !errors.Is(err, ooo.ErrRejected) {
			return person, err
		}
	}
	quoted := strings.ReplaceAll(address, "'", "''")
	person, err := c.search(ctx, "mail eq '"+quoted+"'", false)
	if errors.Is(err, ooo.ErrNotInDirectory) {
		// The prefix of the primary address is in upper case, that of the others in lower case.
		person, err = c.search(ctx, "proxyAddresses/any(p:p eq 'smtp:"+quoted+"') or proxyAddresses/any(p:p eq 'SMTP:"+quoted+"')", true)
	}
	return person, err
}

// FindByID returns the user with an object id. Only the directory can tell whether a user
// exists whose mailbox is not found. It returns the errors of [Client.Find].
func (c *Client) FindByID(ctx context.Context, id ooo.ObjectID) (ooo.Person, error) {
	if !ooo.ValidObjectID(id) { // the path would have another meaning
		return ooo.Person{}, ooo.ErrNotInDirectory
	}
	ctx, cancel := withOperation(ctx, opDirectory, directoryTimeout)
	defer cancel()
	person, err := c.get(ctx, string(id))
	if e := notFound(err); e != nil && e.code != "" { // without a code it may be a proxy's, and nothing else confirms it
		err = fmt.Errorf("%w: %w", ooo.ErrNotInDirectory, e)
	}
	return person, err
}

// Ping makes a small request to the directory, to check that Graph accepts the token. It
// returns the errors of [Client.Find].
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := withOperation(ctx, opDirectory, directoryTimeout)
	defer cancel()
	_, err := c.users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Select: []string{"id"}, Top: new(int32(1))},
	})
	return unwrapSDK(err)
}

// users returns a new request builder. Goroutines must not share one, because using it
// changes its path parameters.
func (c *Client) users() *users.UsersRequestBuilder {
	return users.NewUsersRequestBuilderInternal(nil, c.adapter)
}

// get returns the user with an object id or a user principal name.
func (c *Client) get(ctx context.Context, key string) (ooo.Person, error) {
	user, err := c.users().ByUserId(key).Get(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: userFields},
	})
	if err != nil {
		return ooo.Person{}, unwrapSDK(err)
	}
	return personOf(user)
}

// notFound returns a 404 of Graph, or nil if err is something else.
func notFound(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok && e.status == http.StatusNotFound && !e.foreign {
		return e
	}
	return nil
}

// possibleUPN matches the characters that Entra allows in a user principal name. Others
// could change the meaning of the path.
var possibleUPN = regexp.MustCompile(`^[A-Za-z0-9'._!#^~-]+@[A-Za-z0-9.-]+$`)

// search returns the only user that matches filter. An advanced filter uses an index that
// may be seconds old.
func (c *Client) search(ctx context.Context, filter string, advanced bool) (ooo.Person, error) {
	request := &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{
			Filter: &filter, Select: userFields, Top: new(int32(2)), // two are ambiguous
		},
	}
	if advanced {
		request.Headers = abstractions.NewRequestHeaders()
		request.Headers.Add("ConsistencyLevel", "eventual")
		request.QueryParameters.Count = new(true)
	}
	page, err := c.users().Get(ctx, request)
	switch {
	case err != nil:
		return ooo.Person{}, unwrapSDK(err)
	case page == nil || page.GetValue() == nil: // not even an empty list
		return ooo.Person{}, errBadAnswer
	}
	switch found := page.GetValue(); len(found) {
	case 0:
		return ooo.Person{}, ooo.ErrNotInDirectory
	case 1:
		return personOf(found[0])
	}
	return ooo.Person{}, ooo.ErrAmbiguous
}

func personOf(user models.Userable) (ooo.Person, error) {
	if user == nil || value(user.GetId()) == "" {
		return ooo.Person{}, errBadAnswer
	}
	return ooo.Person{
		ID:                ooo.ObjectID(value(user.GetId())),
		UserPrincipalName: value(user.GetUserPrincipalName()),
		DisplayName:       value(user.GetDisplayName()),
	}, nil
}

// value returns *s, or an empty string if s is nil.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// unwrapSDK returns the transport's error in an error of the SDK. The SDK's own errors mean
// that it can't decode an answer; their text may quote it, so they are replaced.
func unwrapSDK(err error) error {
	wrapped, ok := errors.AsType[*url.Error](err)
	switch {
	case err == nil:
		return nil
	case ok:
		return wrapped.Err
	}
	return errBadAnswer
}
