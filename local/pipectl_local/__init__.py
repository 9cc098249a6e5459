# SPDX-License-Identifier: Apache-2.0
"""The local cloud of pipectl: AWS by ministack, Snowflake by DuckDB and fakesnow, both on 127.0.0.1."""
