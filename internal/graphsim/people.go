package graphsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// pageSize is how many users a page has unless $top says otherwise.
const pageSize = 100

// userProperties are those that $select may name; the ones that come without
// it are true.
var userProperties = map[string]bool{
	"id": true, "displayName": true, "mail": true, "userPrincipalName": true,
	"businessPhones": true, "givenName": true, "jobTitle": true, "mobilePhone": true,
	"officeLocation": true, "preferredLanguage": true, "surname": true,
	"proxyAddresses": false, "accountEnabled": false, "mailNickname": false,
	"userType": false, "otherMails": false,
}

// selection reads $select; nil stands for the default properties.
func selection(q url.Values) ([]string, *apiError) {
	raw := q.Get("$select")
	if raw == "" {
		return nil, nil
	}
	var names []string
	for name := range strings.SplitSeq(raw, ",") {
		name = strings.TrimSpace(name)
		if _, ok := userProperties[name]; !ok {
			return nil, &apiError{"BadRequest", fmt.Sprintf(
				"Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.user'.", name)}
		}
		names = append(names, name)
	}
	return names, nil
}

// userBody is the user as Graph shows it, with the properties in names.
func userBody(u User, names []string) map[string]any {
	body := make(map[string]any, 12)
	for name, byDefault := range userProperties {
		if names == nil && !byDefault || names != nil && !slices.Contains(names, name) {
			continue
		}
		switch name {
		case "id":
			body[name] = u.ID
		case "displayName":
			body[name] = u.DisplayName
		case "mail":
			body[name] = u.Mail
		case "userPrincipalName":
			body[name] = u.UserPrincipalName
		case "proxyAddresses":
			body[name] = u.ProxyAddresses
		case "businessPhones", "otherMails":
			body[name] = []string{}
		case "accountEnabled":
			body[name] = true
		case "userType":
			body[name] = "Member"
		case "mailNickname":
			local, _, _ := strings.Cut(u.UserPrincipalName, "@")
			body[name] = local
		default:
			body[name] = nil
		}
	}
	return body
}

// getUser is GET /users/{id|upn}.
func (s *Server) getUser(c *call) reply {
	if !c.grant.may(roleUsers) {
		return forbidden()
	}
	q, ok := c.values()
	if !ok {
		return badRequest("The query is malformed.")
	}
	names, bad := selection(q)
	if bad != nil {
		return reply{status: http.StatusBadRequest, fail: bad}
	}
	a := s.directory.find(c.path[1])
	if a == nil {
		return fail(http.StatusNotFound, "Request_ResourceNotFound", fmt.Sprintf(
			"Resource '%s' does not exist or one of its queried reference-property objects are not present.", c.path[1]))
	}
	body := userBody(a.User, names)
	body["@odata.context"] = s.URL() + "/v1.0/$metadata#users/$entity"
	return respond(http.StatusOK, body)
}

// listUsers is GET /users, with or without $filter.
func (s *Server) listUsers(c *call) reply {
	if !c.grant.may(roleUsers) {
		return forbidden()
	}
	q, ok := c.values()
	if !ok {
		return badRequest("The query is malformed.")
	}
	names, bad := selection(q)
	if bad != nil {
		return reply{status: http.StatusBadRequest, fail: bad}
	}
	var hits []*account
	if filter := q.Get("$filter"); filter != "" {
		terms, err := parseFilter(filter)
		if err != nil {
			return fail(http.StatusBadRequest, "Request_UnsupportedQuery", err.Error())
		}
		hits = s.directory.match(terms)
	} else {
		hits = s.directory.list()
	}
	top, from, bad := paging(q)
	if bad != nil {
		return reply{status: http.StatusBadRequest, fail: bad}
	}
	body := map[string]any{"@odata.context": s.URL() + "/v1.0/$metadata#users"}
	if q.Get("$count") == "true" && strings.EqualFold(c.header("ConsistencyLevel"), "eventual") {
		body["@odata.count"] = len(hits)
	}
	from = min(from, len(hits))
	page := hits[from:min(from+top, len(hits))]
	if next := from + len(page); next < len(hits) {
		q.Set("$skiptoken", strconv.Itoa(next))
		body["@odata.nextLink"] = s.URL() + "/v1.0/users?" + q.Encode()
	}
	value := make([]map[string]any, len(page))
	for i, a := range page {
		value[i] = userBody(a.User, names)
	}
	body["value"] = value
	return respond(http.StatusOK, body)
}

// paging reads $top and $skiptoken.
func paging(q url.Values) (top, from int, bad *apiError) {
	top = pageSize
	var err error
	if raw := q.Get("$top"); raw != "" {
		if top, err = strconv.Atoi(raw); err != nil || top < 1 || top > 999 {
			return 0, 0, &apiError{"Request_UnsupportedQuery", fmt.Sprintf("Invalid page size specified: '%s'. Must be between 1 and 999 inclusive.", raw)}
		}
	}
	if raw := q.Get("$skiptoken"); raw != "" {
		if from, err = strconv.Atoi(raw); err != nil || from < 0 {
			return 0, 0, &apiError{"Directory_ExpiredPageToken", "The specified page token value has expired and can no longer be included in your request."}
		}
	}
	return top, from, nil
}

// presenceIDs is how many ids one presence request may ask for.
const presenceIDs = 650

// presences is POST /communications/getPresencesByUserId.
func (s *Server) presences(c *call) reply {
	if !c.grant.may(rolePresence) {
		return forbidden()
	}
	var ask struct {
		IDs []string `json:"ids"`
	}
	if err := json.Unmarshal(c.body, &ask); err != nil || len(ask.IDs) == 0 {
		return badRequest("ids is required.")
	}
	if len(ask.IDs) > presenceIDs {
		return badRequest(fmt.Sprintf("ids has more than %d elements.", presenceIDs))
	}
	var value []map[string]any
	for _, id := range ask.IDs {
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
