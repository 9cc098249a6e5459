-- create
CREATE USER IF NOT EXISTS {{ name }}
  TYPE = SERVICE
  DEFAULT_ROLE = {{ role }}
  WORKLOAD_IDENTITY = (TYPE = AWS ARN = {{ arn }} ISSUER = {{ issuer }})
  COMMENT = {{ comment }}

-- alter
ALTER USER {{ name }} SET
  DISABLED = FALSE
  DEFAULT_ROLE = {{ role }}
  WORKLOAD_IDENTITY = (TYPE = AWS ARN = {{ arn }} ISSUER = {{ issuer }})
  COMMENT = {{ comment }}

-- grants
GRANT ROLE {{ role }} TO USER {{ name }}

-- drop
DROP USER IF EXISTS {{ name }}
