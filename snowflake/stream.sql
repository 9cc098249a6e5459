-- create
CREATE STREAM IF NOT EXISTS {{ name }} ON TABLE {{ table }} APPEND_ONLY = TRUE SHOW_INITIAL_ROWS = TRUE COMMENT = {{ comment }}

-- alter
ALTER STREAM {{ name }} SET COMMENT = {{ comment }}

-- drop
DROP STREAM IF EXISTS {{ name }}
