#!/usr/bin/env bash
# grant-graph-roles.sh PRINCIPAL_ID [ROLE...]
#
# Gives a managed identity (its principal id, which is its object id) the
# application permissions of Microsoft Graph that outlook-monitor needs, or those
# named. What it has already is left alone. Needs the Azure CLI, logged in as a
# Privileged Role Administrator or Global Administrator of the tenant.
set -euo pipefail

# The application id of Microsoft Graph, the same in every tenant and cloud.
readonly graph_app=00000003-0000-0000-c000-000000000000

if [ $# = 0 ]; then
	echo "usage: $0 PRINCIPAL_ID [ROLE...]" >&2
	exit 2
fi
principal=$1
shift
roles=("$@")
[ ${#roles[@]} -gt 0 ] || roles=(MailboxSettings.Read User.Read.All Calendars.Read)

endpoint=$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv)
assignments=${endpoint%/}/v1.0/servicePrincipals/$principal/appRoleAssignments
resource=$(az ad sp show --id "$graph_app" --query id --output tsv)
granted=$(az rest --method get --url "$assignments" --query "value[?resourceId=='$resource'].appRoleId" --output tsv)

for role in "${roles[@]}"; do
	id=$(az ad sp show --id "$graph_app" --output tsv \
		--query "appRoles[?value=='$role' && contains(allowedMemberTypes, 'Application')].id")
	if [ -z "$id" ]; then
		echo "Microsoft Graph has no application permission $role" >&2
		exit 1
	fi
	if grep -qxF "$id" <<<"$granted"; then
		echo "$role: granted before"
		continue
	fi
	az rest --method post --url "$assignments" --headers Content-Type=application/json --output none \
		--body "{\"principalId\": \"$principal\", \"resourceId\": \"$resource\", \"appRoleId\": \"$id\"}"
	echo "$role: granted"
done
