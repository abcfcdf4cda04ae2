// outlook-monitor on Azure Container Apps: two replicas, an Azure Managed Redis and
// a log workspace. One managed identity logs in to Microsoft Graph, Redis, the
// registry and the vault; the only secrets are those in the vault. See AZURE.md.
//
// The identity, the registry and the vault exist before: the identity needs its
// Graph permissions before its first token, the others what they hold.

@description('Name of the app, the identity and the environment; those of other resources begin with it.')
@minLength(3)
@maxLength(24)
param name string = 'outlook-monitor'

param location string = resourceGroup().location

@description('Name of the Azure Container Registry in this resource group.')
param registryName string

@description('Repository and tag in that registry.')
param image string

@description('Name of the Key Vault in this resource group; it uses Azure RBAC.')
param vaultName string

param mediatorUrl string

@description('https URL under which Graph reaches the app, if it is not the app\'s own.')
param publicUrl string = ''

@description('Settings that are secrets. MONITOR_TOKEN is the secret monitor-token of the vault, and so on.')
param secretSettings array = ['MONITOR_TOKEN']

@description('Further settings, such as {"POLL_INTERVAL": "4s"}.')
param settings object = {}

@description('User whose mailbox the doctor reads.')
param doctorUser string = ''

@description('CPU cores and memory of a replica: 0.25 and 0.5Gi up to 1,000 users, 1.0 and 2Gi for 26,000.')
param cpu string = '0.25'
param memory string = '0.5Gi'

@description('About 90 % of the memory.')
param memoryLimit string = '460MiB'

@description('Size of Redis: Balanced_B0 (0.5 GB) up to 5,000 users, Balanced_B1 (1 GB) for 26,000.')
param redisSku string = 'Balanced_B0'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: name
}

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

// Built-in roles: AcrPull and Key Vault Secrets User.
var pullRole = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')
var secretsRole = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource mayPull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, identity.id, pullRole)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: pullRole
  }
}

resource mayReadSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, identity.id, secretsRole)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: secretsRole
  }
}

resource redis 'Microsoft.Cache/redisEnterprise@2025-07-01' = {
  name: '${name}-${uniqueString(resourceGroup().id)}'
  location: location
  sku: {
    name: redisSku
  }
  properties: {
    highAvailability: 'Enabled'
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource redisDatabase 'Microsoft.Cache/redisEnterprise/databases@2025-07-01' = {
  parent: redis
  name: 'default'
  properties: {
    accessKeysAuthentication: 'Disabled'
    clientProtocol: 'Encrypted'
    clusteringPolicy: 'NoCluster' // all keys share one slot
    evictionPolicy: 'NoEviction'
    persistence: {
      aofEnabled: true
      aofFrequency: '1s'
    }
    port: 10000
  }
}

resource redisAccess 'Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01' = {
  parent: redisDatabase
  name: 'service'
  properties: {
    accessPolicyName: 'default'
    user: {
      objectId: identity.properties.principalId
    }
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  properties: {
    retentionInDays: 30
    sku: {
      name: 'PerGB2018'
    }
    workspaceCapping: {
      dailyQuotaGb: 1
    }
  }
}

resource environment 'Microsoft.App/managedEnvironments@2025-01-01' = {
  name: name
  location: location
  properties: {
    appLogsConfiguration: {
      destination: 'azure-monitor' // log-analytics would need the workspace's key
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
  }
}

resource environmentLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: environment
  name: 'logs'
  properties: {
    workspaceId: logs.id
    logs: [
      {
        category: 'ContainerAppConsoleLogs'
        enabled: true
      }
      {
        category: 'ContainerAppSystemLogs'
        enabled: true
      }
    ]
  }
}

var ownUrl = 'https://${name}.${environment.properties.defaultDomain}'

var env = concat(
  [
    { name: 'AZURE_MANAGED_IDENTITY', value: 'true' }
    { name: 'AZURE_CLIENT_ID', value: identity.properties.clientId }
    { name: 'PUBLIC_URL', value: empty(publicUrl) ? ownUrl : publicUrl }
    { name: 'MEDIATOR_URL', value: mediatorUrl }
    { name: 'REDIS_URL', value: 'rediss://${redis.properties.hostName}:10000' }
    { name: 'REDIS_AUTH', value: 'entra' }
    { name: 'LISTEN_ADDR', value: ':8080' }
    // The ranges that the environment reserves for itself: its ingress is in them.
    { name: 'TRUSTED_PROXIES', value: '100.100.0.0/17,100.100.128.0/19,100.100.160.0/19,100.100.192.0/19' }
    { name: 'LOG_FORMAT', value: 'json' }
    { name: 'GOMEMLIMIT', value: memoryLimit }
  ],
  map(items(settings), setting => { name: setting.key, value: string(setting.value) }),
  map(secretSettings, setting => { name: setting, secretRef: replace(toLower(setting), '_', '-') })
)

var secrets = map(secretSettings, setting => {
  name: replace(toLower(setting), '_', '-')
  keyVaultUrl: 'https://${vaultName}${az.environment().suffixes.keyvaultDns}/secrets/${replace(toLower(setting), '_', '-')}'
  identity: identity.id
})

var registries = [
  {
    server: registry.properties.loginServer
    identity: identity.id
  }
]

resource app 'Microsoft.App/containerApps@2025-01-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        allowInsecure: false
        targetPort: 8080
        transport: 'http'
      }
      registries: registries
      secrets: secrets
    }
    template: {
      terminationGracePeriodSeconds: 15
      containers: [
        {
          name: 'outlook-monitor'
          image: '${registry.properties.loginServer}/${image}'
          args: ['serve']
          env: env
          resources: {
            cpu: json(cpu)
            memory: memory
          }
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/healthz'
                port: 8080
              }
              periodSeconds: 2
              timeoutSeconds: 2
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/healthz'
                port: 8080
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/readyz'
                port: 8080
              }
              periodSeconds: 5
              timeoutSeconds: 5
              failureThreshold: 2
            }
          ]
        }
      ]
      scale: {
        minReplicas: 2
        maxReplicas: 2
      }
    }
  }
  dependsOn: [
    mayPull
    mayReadSecrets
    redisAccess
  ]
}

// A job, because `az containerapp exec` takes no arguments and the image has no shell.
resource doctor 'Microsoft.App/jobs@2025-01-01' = {
  name: '${name}-doctor'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      replicaTimeout: 300
      replicaRetryLimit: 0
      registries: registries
      secrets: secrets
    }
    template: {
      containers: [
        {
          name: 'doctor'
          image: '${registry.properties.loginServer}/${image}'
          args: concat(['doctor'], empty(doctorUser) ? [] : ['--user', doctorUser])
          env: env
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
        }
      ]
    }
  }
  dependsOn: [
    mayPull
    mayReadSecrets
    redisAccess
  ]
}

output url string = ownUrl
output redisHost string = redis.properties.hostName
