package graphsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaultProperties are returned without a $select.
var defaultProperties = []string{
	"id", "displayName", "mail", "userPrincipalName", "businessPhones", "givenName",
	"jobTitle", "mobilePhone", "officeLocation", "preferredLanguage", "surname",
}

// properties returns all properties that $select may name.
func (u User) properties() map[string]any {
	local, _, _ := strings.Cut(u.UserPrincipalName, "@")
	return map[string]any{
		"id": u.ID, "displayName": u.DisplayName, "mail": u.Mail, "userPrincipalName": u.UserPrincipalName,
		"businessPhones": []string{}, "givenName": nil, "jobTitle": nil, "mobilePhone": nil,
		"officeLocation": nil, "preferredLanguage": nil, "surname": nil,
		"proxyAddresses": u.ProxyAddresses, "accountEnabled": true, "mailNickname": local,
		"userType": "Member", "otherMails": []string{},
	}
}

// selection parses $select.
func selection(q url.Values) ([]string, *reply) {
	raw := q.Get("$select")
	if raw == "" {
		return defaultProperties, nil
	}
	names := strings.Split(strings.ReplaceAll(raw, " ", ""), ",")
	known := User{}.properties()
	for _, name := range names {
		if _, ok := known[name]; !ok {
			return nil, badRequest(fmt.Sprintf(
				"Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.user'.", name))
		}
	}
	return names, nil
}

// selected returns some properties of the user.
func (u User) selected(names []string) map[string]any {
	all, body := u.properties(), make(map[string]any, len(names)+1)
	for _, name := range names {
		body[name] = all[name]
	}
	return body
}

// getUser is GET /users/{id|upn}.
func (s *Server) getUser(c *call) *reply {
	if !c.grant.allows(roleUsers) {
		return forbidden()
	}
	names, refusal := selection(c.query)
	if refusal != nil {
		return refusal
	}
	a := s.directory.find(c.path[1])
	if a == nil {
		return fail(http.StatusNotFound, "Request_ResourceNotFound", fmt.Sprintf(
			"Resource '%s' does not exist or one of its queried reference-property objects are not present.", c.path[1]))
	}
	body := a.selected(names)
	body["@odata.context"] = s.URL() + "/v1.0/$metadata#users/$entity"
	return respond(http.StatusOK, body)
}

// listUsers is GET /users, with or without $filter.
func (s *Server) listUsers(c *call) *reply {
	if !c.grant.allows(roleUsers) {
		return forbidden()
	}
	names, refusal := selection(c.query)
	if refusal != nil {
		return refusal
	}
	matches := func(User) bool { return true }
	if filter := c.query.Get("$filter"); filter != "" {
		terms, ok := parseFilter(filter)
		if !ok {
			return fail(http.StatusBadRequest, "Request_UnsupportedQuery",
				"Unsupported or invalid query filter clause specified for property of resource 'User'.")
		}
		matches = func(u User) bool { return slices.ContainsFunc(terms, func(t filterTerm) bool { return t.matches(u) }) }
	}
	body, refusal := page(c, s.URL()+"/v1.0/", "users", s.directory.match(matches), func(a *account) any { return a.selected(names) })
	if refusal != nil {
		return refusal
	}
	return respond(http.StatusOK, body)
}

// pageSize is the default of $top.
const pageSize = 100

// page returns the page of a collection that $top and $skiptoken select. base is the URL
// above the collection.
func page[T any](c *call, base, collection string, all []T, show func(T) any) (body map[string]any, refusal *reply) {
	top, from := pageSize, 0
	var err error
	if raw := c.query.Get("$top"); raw != "" {
		if top, err = strconv.Atoi(raw); err != nil || top < 1 || top > 999 {
			return nil, fail(http.StatusBadRequest, "Request_UnsupportedQuery",
				fmt.Sprintf("Invalid page size specified: '%s'. Must be between 1 and 999 inclusive.", raw))
		}
	}
	if raw := c.query.Get("$skiptoken"); raw != "" {
		if from, err = strconv.Atoi(raw); err != nil || from < 0 {
			return nil, fail(http.StatusBadRequest, "Directory_ExpiredPageToken",
				"The specified page token value has expired and can no longer be included in your request.")
		}
	}
	body = map[string]any{"@odata.context": base + "$metadata#" + collection}
	if c.query.Get("$count") == "true" && strings.EqualFold(c.header("ConsistencyLevel"), "eventual") {
		body["@odata.count"] = len(all)
	}
	from = min(from, len(all))
	to := min(from+top, len(all))
	if to < len(all) {
		next := maps.Clone(c.query)
		next.Set("$skiptoken", strconv.Itoa(to))
		body["@odata.nextLink"] = base + collection + "?" + next.Encode()
	}
	value := []any{}
	for _, v := range all[from:to] {
		value = append(value, show(v))
	}
	body["value"] = value
	return body, nil
}

// maxPresenceIDs is the limit for one presence request.
const maxPresenceIDs = 650

// presences is POST /communications/getPresencesByUserId.
func (s *Server) presences(c *call) *reply {
	if !c.grant.allows(rolePresence) {
		return forbidden()
	}
	if refusal := s.presence.take(time.Now()); refusal != nil {
		return refusal
	}
	var req struct {
		IDs []string `json:"ids"`
	}
	switch err := json.Unmarshal(c.body, &req); {
	case err != nil, len(req.IDs) == 0:
		return badRequest("ids is required.")
	case len(req.IDs) > maxPresenceIDs:
		return badRequest(fmt.Sprintf("ids has more than %d elements.", maxPresenceIDs))
	}
	value := []any{}
	for _, id := range req.IDs {
		a := s.directory.find(id)
		if a == nil {
			continue
		}
		out, message := a.mailbox.outOfOffice()
		value = append(value, map[string]any{
			"id": a.ID, "availability": "Available", "activity": "Available",
			"outOfOfficeSettings": map[string]any{"isOutOfOffice": out, "message": message},
		})
	}
	return respond(http.StatusOK, map[string]any{
		"@odata.context": s.URL() + "/v1.0/$metadata#Collection(microsoft.graph.presence)",
		"value":          value,
	})
}
