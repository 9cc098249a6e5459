-- create
CREATE DATABASE IF NOT EXISTS {{ name }} COMMENT = {{ comment }}

-- alter
ALTER DATABASE {{ name }} SET COMMENT = {{ comment }}

-- grants
GRANT OWNERSHIP ON DATABASE {{ name }} TO ROLE {{ owner }} COPY CURRENT GRANTS

-- drop
DROP DATABASE IF EXISTS {{ name }}
