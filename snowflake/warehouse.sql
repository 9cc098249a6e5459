-- create
CREATE WAREHOUSE IF NOT EXISTS {{ name }} WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE COMMENT = {{ comment }}

-- alter
ALTER WAREHOUSE {{ name }} SET WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE COMMENT = {{ comment }}

-- grants
{% for role in users %}
GRANT USAGE ON WAREHOUSE {{ name }} TO ROLE {{ role }}

{% endfor %}
-- undo type
ALTER WAREHOUSE {{ name }} SET WAREHOUSE_TYPE = 'STANDARD'

-- undo min_cluster_count
ALTER WAREHOUSE {{ name }} SET MIN_CLUSTER_COUNT = 1

-- undo max_cluster_count
ALTER WAREHOUSE {{ name }} SET MAX_CLUSTER_COUNT = 1

-- undo enable_query_acceleration
ALTER WAREHOUSE {{ name }} SET ENABLE_QUERY_ACCELERATION = FALSE

-- drop
DROP WAREHOUSE IF EXISTS {{ name }}
